import re
from pathlib import Path

import pytest
from zmq.utils import z85

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import KEYS, TCP, play, until
from trouper.runtime.session.identity import Identity
from trouper.runtime.session.transport import TransportLimits
from trouper.transports.keys import KeyPair, KeyRing, make_cluster_keys, make_node_keys, shown
from trouper.transports.zeromq import ZeroMQTransport
from trouper.transports.zeromq.authenticator import AuthenticationResult, judge

STRANGER = KeyPair.make()


def _raw(public: str) -> bytes:
    return z85.decode(public)


def test_a_peer_is_judged_by_its_key() -> None:
    """The cluster's key is let in, with itself as the identity; another is not, and neither is a peer without any."""
    own = KEYS.cluster.public
    assert judge(KEYS, b"locked", b"CURVE", [_raw(own)]) == AuthenticationResult(is_admitted=True, user=own)
    why = f"its public key {shown(STRANGER.public)} is not the cluster's"
    assert judge(KEYS, b"locked", b"CURVE", [_raw(STRANGER.public)]) == AuthenticationResult(
        is_admitted=False, text=why
    )
    assert judge(None, b"open", b"NULL", []) == AuthenticationResult(is_admitted=True)


@pytest.mark.parametrize(
    ("keys", "domain", "mechanism", "credentials"),
    [
        (KEYS, b"locked", b"NULL", []),
        (KEYS, b"locked", b"PLAIN", [b"admin", b"admin"]),
        (KEYS, b"locked", b"CURVE", []),
        (KEYS, b"locked", b"CURVE", [b"short"]),
        (KEYS, b"locked", b"CURVE", [_raw(KEYS.cluster.public), b"more"]),
        (None, b"locked", b"CURVE", [_raw(KEYS.cluster.public)]),
        (KEYS, b"open", b"CURVE", [_raw(STRANGER.public)]),
        (KEYS, b"", b"NULL", []),
    ],
)
def test_whatever_else_is_asked_is_refused(
    keys: KeyRing | None, domain: bytes, mechanism: bytes, credentials: list[bytes]
) -> None:
    """Only what was meant to come in comes in."""
    assert judge(keys, domain, mechanism, credentials).is_admitted is False


def test_with_an_allow_list_its_keys_alone_are_let_in() -> None:
    """Not even the cluster's own key is, when it is not on the list."""
    ring = KeyRing(KEYS.cluster, allowed={STRANGER.public: Identity(STRANGER.public, "stranger")})
    assert judge(ring, b"locked", b"CURVE", [_raw(STRANGER.public)]).user == STRANGER.public
    why = f"its public key {shown(KEYS.cluster.public)} is not among the allowed ones"
    assert judge(ring, b"locked", b"CURVE", [_raw(KEYS.cluster.public)]).text == why


@pytest.mark.parametrize(
    ("peer_keys", "kind"),
    [
        (KeyRing(KeyPair.make()), "handshake_failed"),
        (None, "handshake_failed"),
        (KeyRing(KEYS.cluster, node=STRANGER), "not_admitted"),
    ],
    ids=["another cluster's", "none", "not allowed"],
)
def test_a_peer_with_a_wrong_key_is_counted_and_logged_and_all_else_goes_on(
    peer_keys: KeyRing | None, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it arrives, however often it tries; others notice nothing, and one line says who it was."""

    async def scene() -> None:
        b = Owner()
        receiver = ZeroMQTransport(b, keys=KEYS)
        endpoint = await receiver.listen(TCP)
        good = ZeroMQTransport(Owner(), keys=KEYS)
        bad = ZeroMQTransport(Owner(), TransportLimits(linger_s=0.05), peer_keys, insecure=peer_keys is None)
        bad.connect(endpoint).send_nowait([b"let me in"])
        wire = good.connect(endpoint)
        wire.send_nowait([b"1"])
        await b.until_frames(1)
        await until(lambda: receiver.rejections.counts[kind] >= 2 and bad.rejections.counts["handshake_failed"] >= 2)
        # A silent end is logged at the second from one address only, and the address of a peer that is gone is unknown.
        await until(lambda: any(text.startswith("a connection from") for text in caplog.messages))
        wire.send_nowait([b"2"])
        assert await b.until_frames(2) == [(b"1",), (b"2",)]
        assert {source.identity for source in b.sources} == {KEYS.cluster.public}
        await bad.close()
        await good.close()
        await receiver.close()
        assert set(receiver.rejections.counts) == {kind}
        logged = [text for text in caplog.messages if not text.startswith((f"no connection to {endpoint}", endpoint))]
        if kind == "not_admitted":
            why = f"its public key {shown(STRANGER.public)} is not the cluster's"
            assert logged == [f"a connection from 127.0.0.1 was refused: {why}"]
        else:
            # A peer that speaks no CURVE may hang up before it is seen to speak something else.
            silent = "it hung up or was silent, as one does that has other keys"
            why = "its key does not fit" if peer_keys else f"(it uses another kind of encryption, or none|{silent})"
            said = re.compile(
                f"a connection from (127.0.0.1|a host that is gone) to {endpoint} failed its handshake: {why}"
            )
            assert 1 <= len(logged) <= 2
            assert any(map(said.fullmatch, logged))
        assert STRANGER.secret not in caplog.text

    play(scene)


def test_nodes_with_keys_of_their_own_know_each_other(tmp_path: Path) -> None:
    """From files to frames: each node is told the other's own key as the identity."""
    for name in ("ada", "bob"):
        make_node_keys(tmp_path / name, name)
    make_cluster_keys(tmp_path / "ada")
    text = (tmp_path / "ada" / "cluster.key_secret").read_text()
    for name, other in (("ada", "bob"), ("bob", "ada")):
        cluster = tmp_path / name / "cluster.key_secret"
        cluster.write_text(text)
        cluster.chmod(0o600)
        (tmp_path / name / "allowed").mkdir(mode=0o700)
        (tmp_path / name / "allowed" / f"{other}.key").write_text((tmp_path / other / f"{other}.key").read_text())

    async def scene() -> None:
        rings = {name: KeyRing.load(tmp_path / name) for name in ("ada", "bob")}
        owners = {name: Owner() for name in rings}
        nodes = {name: ZeroMQTransport(owners[name], keys=ring) for name, ring in rings.items()}
        for name, other in (("ada", "bob"), ("bob", "ada")):
            nodes[name].connect(await nodes[other].listen(TCP)).send_nowait([name.encode()])
        for name, other in (("ada", "bob"), ("bob", "ada")):
            await owners[name].until_frames(1)
            assert owners[name].sources[0].identity == rings[other].client.public
        for node in nodes.values():
            await node.close()

    play(scene)
