"""The operator's command: `l2cache deadletters list|replay WHERE`.

WHERE is `projects/PROJECT/subscriptions/SUBSCRIPTION` in the cloud, as Terraform's output `topics` names it, or the
local stack's file, `.stack/main/deliveries.db`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from l2cache.deadletters.embedded import EmbeddedLetterBox
from l2cache.deadletters.letter import Letter, LetterBox, LetterBoxError

_SUBSCRIPTION = re.compile(r"projects/(?P<project>[^/]+)/subscriptions/(?P<name>[^/]+)")
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")
_OURS = "-dead-letters"

_limit = click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Look at so many.")
_wait = click.option(
    "--wait", "wait_s", type=float, default=5.0, show_default=True, help="Seconds until no more seem to come."
)


@click.group()
def main() -> None:
    """Lists and replays what was given up. WHERE is a subscription's full name, or a local stack's file."""


@main.command("list")
@click.argument("where")
@_limit
@_wait
def list_letters(where: str, limit: int, wait_s: float) -> None:
    """Shows dead letters, one a line: id, what it is, size, attempts, reason."""
    with _reported():
        letters = open_box(where, wait_s).letters(limit)
    for letter in letters:
        click.echo(line(letter))
    click.echo(f"{len(letters)} dead letters", err=True)


@main.command()
@click.argument("where")
@click.argument("ids", nargs=-1)
@click.option(
    "--topic", help="Where to publish them, projects/PROJECT/topics/TOPIC; Terraform's replay topic by default."
)
@_limit
@_wait
def replay(where: str, ids: tuple[str, ...], topic: str | None, limit: int, wait_s: float) -> None:
    """Delivers dead letters again: those whose IDS are given, or else all."""
    with _reported():
        number = open_box(where, wait_s, topic).replay(ids, limit)
    click.echo(f"{number} dead letters will be delivered again")


@contextmanager
def _reported() -> Iterator[None]:
    """Says in a line why a box cannot be opened."""
    try:
        yield
    except LetterBoxError as error:
        raise click.ClickException(str(error)) from error


def open_box(where: str, wait_s: float, topic: str | None = None) -> LetterBox:
    """The dead letters at a place.

    Args:
      where: a subscription's full name, or a file.
      wait_s: for a subscription: seconds until no more messages seem to come.
      topic: for a subscription: where replayed messages are published.

    Raises:
      click.UsageError: if there is no such place, or no topic is named and none follows from the subscription's name.
    """
    match = _SUBSCRIPTION.fullmatch(where)
    if match is None:
        if not Path(where).is_file():
            raise click.UsageError(f"{where} is neither projects/PROJECT/subscriptions/SUBSCRIPTION nor a file")
        return EmbeddedLetterBox(Path(where))
    if topic is None:
        if not match["name"].endswith(_OURS):
            raise click.UsageError("--topic is needed: projects/PROJECT/topics/TOPIC")
        topic = f"projects/{match['project']}/topics/{match['name'].removesuffix(_OURS)}-replay"
    if not _TOPIC.fullmatch(topic):
        raise click.UsageError(f"{topic} is not of the form projects/PROJECT/topics/TOPIC")
    return _pubsub(where, topic, wait_s)


def _pubsub(subscription: str, topic: str, wait_s: float) -> LetterBox:
    try:
        import google.cloud.pubsub_v1  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise click.UsageError("google-cloud-pubsub is missing: pip install '.[deadletters]' in a checkout") from error
    from l2cache.deadletters.pubsub import PubSubLetterBox

    return PubSubLetterBox(subscription, topic, wait_s)


def line(letter: Letter) -> str:
    """A letter as a line for people."""
    what = " ".join(f"{name}={value}" for name, value in sorted(letter.what.items()))
    attempts = f"{letter.attempts or 'unknown'} attempts"
    return "\t".join([letter.id, what, f"{letter.n_bytes} bytes", attempts, letter.reason])
