"""Asks a language model, over any endpoint that speaks OpenAI's API: streamed, within a time, as JSON of a given shape.

An answer that ends without saying why has been cut off, and is a failure like any other. What is refused for a while is
asked again; what fails is asked of the fall-back model once, and an endpoint that keeps failing is left alone for some
seconds. All of one model's tries together take no longer than the settings allow.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx
import openai
from pydantic import ValidationError
from pydantic_core import from_json

from api.drafts.prompts import Asked
from api.edge.outgoing import Breaker, CircuitOpenError
from api.kernel.errors import CrmError
from contracts.settings import AiSettings

T = TypeVar("T")

_RETRIES = 2
_MOST_TOKENS = 2_000


class AiOff(CrmError):
    """There is no model to ask."""

    status, code, title = 409, "ai_off", "Drafts are off"
    detail = "Drafts are not set up here. An operator sets SLUICE_OPENAI_API_KEY."


class ModelUnavailable(CrmError):
    """The model gives no usable answer now."""

    status, code, title = 503, "model_unavailable", "The model does not answer"

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} Nothing was drafted; try again.", headers={"Retry-After": "10"})


@dataclass(frozen=True)
class Written:
    """What a model wrote, and what that took."""

    answer: dict[str, Any]
    model: str
    input_tokens: int
    output_tokens: int


class Model:
    """The endpoint that the settings name: `async with Model(settings, breaker) as model`."""

    def __init__(self, settings: AiSettings, breaker: Breaker) -> None:
        if settings.openai_api_key is None:
            raise AiOff
        self._breaker, self._url = breaker, settings.openai_base_url
        self._seconds = settings.openai_seconds
        self._names = [name for name in (settings.openai_model, settings.openai_fallback_model) if name]
        self._client = openai.AsyncOpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=settings.openai_base_url,
            timeout=settings.openai_seconds,
            max_retries=_RETRIES,
        )

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self._client.close()

    async def write(self, asked: Asked) -> AsyncIterator[str | Written]:
        """What is written so far, again and again, and at the end all of it.

        Raises:
            ModelUnavailable: no model gave a whole answer of the shape.
        """
        why = ""
        for name in self._names:
            try:
                self._breaker.check(self._url)
                async for part in self._ask(name, asked):
                    yield part
            except CircuitOpenError as error:
                raise ModelUnavailable(f"The model does not answer. {error}") from error
            except (openai.OpenAIError, httpx.HTTPError, TimeoutError, ValidationError, ValueError) as error:
                self._breaker.failed(self._url)
                why = _reason(error)
            else:
                self._breaker.succeeded(self._url)
                return
        raise ModelUnavailable(why)

    async def _ask(self, name: str, asked: Asked) -> AsyncIterator[str | Written]:
        until = asyncio.get_running_loop().time() + self._seconds
        async with asyncio.timeout_at(until):
            stream = await self._client.chat.completions.create(
                model=name,
                messages=[
                    {"role": "system", "content": asked.instructions},
                    {"role": "user", "content": asked.document},
                ],
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": asked.prompt.kind.value, "strict": True, "schema": asked.schema},
                },
                max_completion_tokens=_MOST_TOKENS,
                stream=True,
                stream_options={"include_usage": True},
            )
        whole, shown, ended, usage = "", "", None, None
        async for chunk in _in_time(stream, until):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                whole += choice.delta.content or ""
                ended = choice.finish_reason or ended
            if (text := _text_so_far(whole)) != shown:
                shown = text
                yield text
        if ended != "stop":
            raise ValueError(f"The answer was not finished ({ended or 'cut off'}).")
        answer = from_json(whole)
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise ValueError("The answer is not of the shape that was asked for.")
        counted = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        yield Written(answer, name, *counted)


async def _in_time(stream: AsyncIterator[T], until: float) -> AsyncIterator[T]:
    """A stream up to an instant of the loop's clock: one that drips never ends by itself."""
    while True:
        async with asyncio.timeout_at(until):
            try:
                part = await anext(stream)
            except StopAsyncIteration:
                return
        yield part


def _text_so_far(whole: str) -> str:
    try:
        part = from_json(whole, allow_partial="trailing-strings")
    except ValueError:
        return ""
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def _reason(error: Exception) -> str:
    if isinstance(error, openai.APITimeoutError | httpx.TimeoutException | TimeoutError):
        return "The model took too long."
    if isinstance(error, openai.APIStatusError):
        return f"The model's endpoint answered {error.status_code}."
    if isinstance(error, openai.OpenAIError | httpx.HTTPError):
        return "The model's endpoint cannot be reached."
    return str(error) if str(error).endswith(".") else "The model's answer is not of the shape that was asked for."
