"""Do the city's nodes and systems answer, in each address family?"""
