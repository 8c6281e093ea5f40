"""From data to a model: datasets, jobs, preprocessing, trainers, evaluation, conversion."""
