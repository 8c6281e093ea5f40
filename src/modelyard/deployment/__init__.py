"""What should be served, and what is: deployments, their replicas, the reconciler."""
