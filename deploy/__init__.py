"""How the city gets there: pyinfra deploys, a folder for each role, and the lab that boots its hosts."""
