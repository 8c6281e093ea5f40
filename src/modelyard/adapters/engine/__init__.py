"""Where tasks and services run: processes of this host."""
