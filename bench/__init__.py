"""Measurements: `python -m bench [NAME …] [--quick] [--json]`. What each figure means stands in README.md.

Each module named in `__main__.MEASUREMENTS` measures one thing, and beside it, in the same run and in turns, the physical
limit or a named peer. `figures` holds what is printed; `stage` starts the real sandbox and the real hub as processes.
"""
