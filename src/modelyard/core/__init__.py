"""The vocabulary that every room shares: ids, errors, time, money, tensors, jobs, events.

Standard library, msgspec and numpy only.
"""
