"""Kalends keeps rooms, people and phones in step with the calendars an organisation already has."""

__version__ = "0.1.0"
