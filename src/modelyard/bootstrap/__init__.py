"""The composition root: settings become adapters, adapters services, services processes.

Nothing else builds an object that another room uses. There is a module for each process, with a
function `run`; `up` is the supervisor. `python -m modelyard.bootstrap PROCESS` is how it starts
its children; each imports only what its process needs.
"""
