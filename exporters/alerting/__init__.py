"""When is somebody told, who, and what should they do? Rules, routes, inhibition, owners and runbooks."""
