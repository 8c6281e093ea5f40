"""The benchmark: this gateway against a bare handler, in one run on the same cores.

`make bench` prints a table of ratios and writes the same as JSON.
"""
