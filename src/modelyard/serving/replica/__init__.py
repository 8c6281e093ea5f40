"""Models in processes of their own: what gateway and replica say to each other."""
