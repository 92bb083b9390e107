"""What people and programs see: pages, panels and the JSON API. Every route declares who may use it (`policy.py`)."""
