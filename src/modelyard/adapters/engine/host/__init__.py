"""The runtime host: the process that starts, counts and ends replicas; gateways are its clients."""
