"""The extranet's roads: addresses on every interface, BGP and BFD on every link, in both families."""
