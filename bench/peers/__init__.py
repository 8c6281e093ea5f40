"""Other model servers, each as its own documentation writes it.

These modules run in the environment of their peer (see requirements/) and never in ours. All of
them serve the graphs of the folder that MODELYARD_BENCH_MODELS names.
"""
