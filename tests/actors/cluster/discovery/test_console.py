import asyncio
import gzip
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from trouper.actors.cluster.discovery.console import ConsoleDiscovery
from trouper.actors.cluster.discovery.consolepage import PATH, write_page
from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits

PAGE = write_page("prices", ["tcp://a:1", "tcp://b:1"])
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def console(answer: Answer) -> AsyncGenerator[str]:
    """A server on the loopback; gives its address."""
    app = web.Application()
    app.router.add_get(PATH, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def find(answer: Answer, *, token: str = "", limits: DiscoveryLimits | None = None) -> tuple[str, ...]:
    """What is found at a console that answers so."""

    async def scene() -> tuple[str, ...]:
        async with console(answer) as url:
            return tuple(await ConsoleDiscovery(url, "prices", token=token, limits=limits).find())

    return asyncio.run(scene())


async def good(request: web.Request) -> web.StreamResponse:
    """A console whose token is "open"."""
    if request.headers.get("Authorization") != "Bearer open":
        return web.Response(status=401)
    return web.Response(body=PAGE, content_type="application/json")


def test_a_console_names_the_endpoints_of_its_cluster() -> None:
    """With the right token a page comes back."""
    assert find(good, token="open") == ("tcp://a:1", "tcp://b:1")


@pytest.mark.parametrize("token", ["", "shut"])
def test_a_refused_token_is_said_and_not_shown(token: str) -> None:
    """The error is for logs, and a token is not."""
    with pytest.raises(DiscoveryFailed, match=r"refused the token \(HTTP 401\)$") as caught:
        find(good, token=token)
    assert "shut" not in str(caught.value)


def test_another_answer_is_a_failure() -> None:
    """A status other than 200, a page of something else, and of another cluster."""

    async def absent(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    async def website(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async def other(request: web.Request) -> web.StreamResponse:
        return web.Response(body=write_page("weather", []))

    for answer, problem in (
        (absent, "answered HTTP 404, not a page of endpoints$"),
        (website, "the answer is no page of endpoints"),
        (other, "the console is one of the cluster 'weather', not of 'prices'$"),
    ):
        with pytest.raises(DiscoveryFailed, match=f"^the console http://127.0.0.1:.*{problem}"):
            find(answer)


def test_a_redirect_is_not_followed() -> None:
    """A token is not carried to where somebody else says."""
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        raise web.HTTPFound(f"{PATH}?again")

    with pytest.raises(DiscoveryFailed, match="answered HTTP 302"):
        find(redirect, token="open")
    assert asked == [PATH]


def test_an_answer_without_end_is_left() -> None:
    """The limit is on what is read, whatever the header says."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            try:
                await response.write(b" " * 65_536)
            except ConnectionError:
                return response

    with pytest.raises(DiscoveryFailed, match=r"answers more than 262144 bytes \(text_bytes_max\)$"):
        find(endless)


def test_a_packed_answer_is_not_unpacked() -> None:
    """Few packed bytes may stand for very many."""

    async def packed(request: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(PAGE), headers={"Content-Encoding": "gzip"})

    with pytest.raises(DiscoveryFailed, match="the answer is no page of endpoints"):
        find(packed)


def test_a_console_that_does_not_answer_is_a_failure() -> None:
    """Time is limited."""

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(DiscoveryFailed, match=r"no answer within 0.05 s$"):
        find(silent, limits=DiscoveryLimits(timeout_s=0.05))


def test_a_console_that_is_not_there_is_a_failure() -> None:
    """Nobody listens on this port of the loopback."""
    with pytest.raises(DiscoveryFailed, match=r"^the console http://127.0.0.1:1: "):
        asyncio.run(ConsoleDiscovery("http://127.0.0.1:1", "prices").find())


def test_a_token_that_would_break_a_header_is_refused() -> None:
    """A line break in a token would begin another header; the token is not shown."""
    for token in ("a\r\nb", "\u0661"):
        with pytest.raises(DiscoveryInvalid, match=r"^the token of a console holds signs that a header cannot carry$"):
            ConsoleDiscovery("http://a", "prices", token=token)
