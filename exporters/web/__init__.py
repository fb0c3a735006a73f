"""How the exporters are served: listen addresses, TLS, basic authentication, and the three paths."""
