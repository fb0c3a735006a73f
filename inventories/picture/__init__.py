"""How does a city's extranet look: a picture (SVG), a graph for graphviz (DOT), nodes and links (JSON)?"""
