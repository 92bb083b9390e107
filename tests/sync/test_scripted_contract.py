"""The scripted provider against the contract of all providers: a fake that lies about nothing it isn't told to."""

from datetime import datetime, timedelta

import pytest

from kalends.model.event import CalendarId
from kalends.model.time import Span
from providers.contract import Line, ProviderContract, Stage, line
from sync.scripted import Scripted, Town

ROOM = CalendarId("almond@example.test")


class ScriptedStage(Stage):
    def __init__(self) -> None:
        self.town = Town()
        self.book_ = self.town.book(ROOM)
        self.provider = Scripted(self.town)
        self.calendar = ROOM

    def book(self, subject: str, start: datetime, length: timedelta = timedelta(hours=1)) -> str:
        return self.book_.add(subject, start, length)

    def book_series(self, subject: str, start: datetime, count: int | None) -> str:
        return self.book_.add(subject, start, repeats=True, count=count)

    def rename(self, key: str, subject: str) -> None:
        self.book_.change(key, subject=subject)

    def move(self, key: str, start: datetime) -> None:
        self.book_.change(key, start=start, moved={}, dropped=set())

    def move_one(self, key: str, original: datetime, start: datetime) -> None:
        self.book_.meetings[key].moved[original] = start
        self.book_.touch(key)

    def drop_one(self, key: str, original: datetime) -> None:
        self.book_.meetings[key].dropped.add(original)
        self.book_.touch(key)

    def drop(self, key: str) -> None:
        self.book_.drop(key)

    def change_id(self, key: str) -> None:
        self.book_.change_id(key)

    def lose_cursor(self) -> None:
        self.book_.forget_cursors()

    def truth(self, span: Span) -> list[Line]:
        return sorted((line(event) for event in self.book_.within(span)), key=repr)

    def calls(self) -> int:
        return len(self.town.calls)


class TestScripted(ProviderContract):
    @pytest.fixture
    def stage(self) -> ScriptedStage:
        return ScriptedStage()
