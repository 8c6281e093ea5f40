"""Runs code that nobody has to trust: a process that can reach its own files and nothing else.

`Sandbox` is the parent's side; `launcher` is what the child runs before anything heavy is
imported, and `landlock`, `seccomp`, `namespaces` and `limits` are what it shuts itself in with.
"""
