"""Figures of results, attention, zoom and costs.

results.py     images side by side, attention and zoom
records.py     files that `scripts/benchmark.py --output` wrote
efficiency.py  time, memory and parameters of networks (Fig. 2 of the paper, right)
sizes.py       time and memory over the size of results
"""
