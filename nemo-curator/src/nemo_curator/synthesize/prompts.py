"""Prompts that are written by the endpoint: from topics, or about documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import pyarrow.parquet as pq

from ..foundation import artifact
from .endpoint.ask import Asker
from .generate_settings import Generate
from .templates import read_list, user


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a user says first, of which kind it is, its subject, and the topic or document that it comes from."""

    kind: str
    text: str
    subject: str
    source: str

    @property
    def id(self) -> str:
        """Identity by kind and text."""
        return f"{self.kind}-{blake2b(self.text.encode(), digest_size=8).hexdigest()}"


def write_prompts(settings: Generate, asker: Asker) -> tuple[list[Prompt], dict[str, int]]:
    """Distinct prompts of all kinds, in order, and how many went for which reason."""
    skipped: dict[str, int] = {}
    found: dict[str, Prompt] = {}
    kinds = [kind for kind in settings.kinds if kind != "closed-qa"]
    about = topics_of(settings, asker) if kinds else []
    drafts = [prompt for kind in kinds for prompt in of_topics(kind, about, settings, asker)]
    if "closed-qa" in settings.kinds:
        drafts += about_documents(settings, asker)
    for prompt in drafts:
        if prompt.id in found:
            skipped["repeated_prompt"] = skipped.get("repeated_prompt", 0) + 1
        found.setdefault(prompt.id, prompt)
    return list(found.values()), skipped


def topics_of(settings: Generate, asker: Asker) -> list[str]:
    """Topics, given or asked for, and their subtopics."""
    topics = settings.topics
    if not topics:
        (answer,) = asker.ask([asker.request(user("macro_topics", count=settings.num_topics))], "topics")
        topics = read_list(answer.text, limit=settings.num_topics)
    if not settings.num_subtopics:
        return topics
    requests = [asker.request(user("subtopics", topic=topic, count=settings.num_subtopics)) for topic in topics]
    lists = [read_list(a.text, limit=settings.num_subtopics) for a in asker.ask(requests, "subtopics")]
    return list(dict.fromkeys(subtopic for found in lists for subtopic in found))


def of_topics(kind: str, topics: list[str], settings: Generate, asker: Asker) -> list[Prompt]:
    """Prompts of one kind about each topic."""
    values = {"count": settings.per_topic, "language": settings.language}
    answers = asker.ask([asker.request(user(kind, topic=topic, **values)) for topic in topics], f"prompts: {kind}")
    prompts = [
        Prompt(kind=kind, text=text, subject=topic, source=topic)
        for topic, answer in zip(topics, answers, strict=True)
        for text in read_list(answer.text, limit=settings.per_topic)
    ]
    return elaborated(prompts, asker) if kind == "open-qa" and settings.elaborate else prompts


def elaborated(prompts: list[Prompt], asker: Asker) -> list[Prompt]:
    """The same questions with more context; one whose answer is unusable stays as it was."""
    answers = asker.ask([asker.request(user("elaborate", prompt=p.text)) for p in prompts], "more context")
    return [
        Prompt(kind=p.kind, text=p.text if a.fault else a.text, subject=p.subject, source=p.source)
        for p, a in zip(prompts, answers, strict=True)
    ]


def about_documents(settings: Generate, asker: Asker) -> list[Prompt]:
    """Instructions about each document, which is part of the prompt."""
    shown = [(identity, title, first_words(text, settings)) for identity, title, text in documents_of(settings)]
    requests = [asker.request(user("closed-qa", document=text, count=settings.per_topic)) for _, _, text in shown]
    return [
        Prompt(
            kind="closed-qa",
            text=user("closed-prompt", document=text, prompt=instruction)[0]["content"],
            subject=title or identity,
            source=identity,
        )
        for (identity, title, text), answer in zip(shown, asker.ask(requests, "prompts: closed-qa"), strict=True)
        for instruction in read_list(answer.text, limit=settings.per_topic)
    ]


def documents_of(settings: Generate) -> Iterator[tuple[str, str, str]]:
    """Id, title and text of the first documents."""
    assert settings.documents is not None
    manifest = artifact.read(settings.documents, "documents")
    left = settings.max_documents
    for path in sorted(record.path for record in manifest.files if record.path.startswith("data/")):
        rows = pq.read_table(settings.documents / path, columns=["id", "title", "text"]).slice(0, left).to_pylist()
        yield from ((row["id"], row["title"], row["text"]) for row in rows)
        left -= len(rows)
        if not left:
            return


def first_words(text: str, settings: Generate) -> str:
    """The beginning of a text, cut between words."""
    words = text.split(" ")
    return text if len(words) <= settings.max_document_words else " ".join(words[: settings.max_document_words])
