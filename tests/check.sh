# Format, lint, types, architecture: under a minute. Called by `./run check` and `./run test`.
set -eu
export PYTHONPATH=src
bin=.venv/bin
"$bin/ruff" format --check -q src tests bench
"$bin/ruff" check -q src tests bench
"$bin/mypy" --no-error-summary
"$bin/python" -m pytest -q tests/test_architecture.py
