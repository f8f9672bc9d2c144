"""A fleet of gateways and endpoints in virtual time, with the real services, balancers, policies and filters."""
