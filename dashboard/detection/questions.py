"""The open questions to the employee who looks, each with the form for the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote
from uuid import uuid4

from msgspec import Struct

from dashboard.detection.words import LONGEST, Said, unshown_text
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from queries.detection.results import QuestionView

PATH = "/questions"


class QuestionForm(Struct, frozen=True, kw_only=True):
    """One question. `command` is the id of the command that the answer gives."""

    at: Moment
    text: str
    link: str
    command: str
    typed: str


class MyQuestions(View, frozen=True, kw_only=True):
    """The page."""

    template: ClassVar[str] = "my_questions.html"
    questions: list[QuestionForm]
    longest: int
    said: Said | None
    unshown: str
    as_of_position: int


def my_questions(
    found: Sequence[QuestionView],
    as_of_position: int,
    viewer: Viewer,
    said: Said | None = None,
    typed: Mapping[str, str] | None = None,
) -> MyQuestions:
    """The page. `typed` has the text of an answer that was refused, by the id of its case."""
    return MyQuestions(
        viewer=viewer,
        title="Questions to me",
        questions=[
            QuestionForm(
                at=viewer.moment(each.asked_at),
                text=each.question,
                link=f"{PATH}/{quote(each.case_id, safe='')}",
                command=str(uuid4()),
                typed=(typed or {}).get(each.case_id, ""),
            )
            for each in found
        ],
        longest=LONGEST,
        said=said,
        unshown=unshown_text(typed or {}, {each.case_id for each in found}),
        as_of_position=as_of_position,
    )
