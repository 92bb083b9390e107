"""The only folder that knows vendors. Imports the model and nothing else of ours."""
