"""The JSON API, version 1: reading. FastAPI describes it at `/openapi.json`."""
