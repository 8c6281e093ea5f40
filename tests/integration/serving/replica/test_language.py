"""A gateway's channel to a replica of a language model: the real worker, and replicas that lie."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from modelyard.core.errors import Invalid, ModelyardError, Unavailable
from modelyard.serving.language.generation import (
    ContextOverflow,
    Finish,
    Generation,
    Hear,
    Piece,
    Reason,
    Sampling,
    written,
)
from modelyard.serving.language.model import SIGNATURE, TextModel
from modelyard.serving.replica.channel import Terms
from modelyard.serving.replica.endpoint import Endpoint
from modelyard.serving.replica.frames import FrameReader, pack
from modelyard.serving.replica.messages import (
    FROM_GATEWAY,
    FROM_LANGUAGE_REPLICA,
    Answer,
    Call,
    Failure,
    Part,
    Pieces,
    Said,
)
from modelyard.serving.replica.speaker import RemoteSpeaker
from modelyard.serving.stopping import StopSignal


class Heard:
    """A listener, and how what it heard has ended."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.second = asyncio.Event()
        self.end: asyncio.Future[Finish] = asyncio.get_running_loop().create_future()

    def piece(self, piece: Piece) -> None:
        self.pieces.append(piece)
        if len(self.pieces) == 2:
            self.second.set()

    def finished(self, finish: Finish) -> None:
        self.end.set_result(finish)

    def failed(self, error: ModelyardError) -> None:
        self.end.set_exception(error)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


class Host:
    """A runtime host that is told things and does nothing."""

    def __init__(self) -> None:
        self.asked = 0
        self.gone: list[tuple[str, str]] = []
        self.unwanted = False

    def connect(self) -> None:
        self.asked += 1

    def load(self, in_flight: int, waiting: int, answered: int) -> None:
        pass

    def released(self, replica_id: str, wrong: str) -> None:
        self.gone.append((replica_id, wrong))

    def unwant(self) -> None:
        self.unwanted = True

    def accuse(self, *_: Any) -> None:
        pass

    def clear(self, *_: Any) -> None:
        pass


def made() -> tuple[RemoteSpeaker, Host]:
    host = Host()
    return RemoteSpeaker(Terms(SIGNATURE, False, 60.0, 1 << 20), host), host


def asked(text: str = "Hi", **sampling: Any) -> Generation:
    return Generation(prompt=text, sampling=Sampling(**sampling))


class Counter(TextModel):
    """Counts, and goes on for as long as it is let."""

    def __init__(self) -> None:
        super().__init__(context=64, concurrency=3, memory_bytes=0)
        self.together = threading.Barrier(3)

    def generate(self, asked: Generation, hear: Hear, stop: StopSignal | None = None) -> Finish:
        if asked.prompt == "long":
            raise ContextOverflow("it does not fit")
        if asked.prompt == "together":
            # Passes only when three calls are here at once.
            self.together.wait(10)
        ended = threading.Event()
        if stop is not None:
            stop.on_set(ended.set)
        count = 0
        while not ended.is_set() and (not asked.sampling.max_tokens or count < 3):
            count += 1
            hear(Piece(f"{count} "))
            if not asked.sampling.max_tokens:
                ended.wait(0.01)
        return Finish(Reason.CANCELLED if ended.is_set() else Reason.STOP, 5, count)

    def unload(self) -> None:
        pass


@pytest.fixture
def replica() -> Iterator[socket.socket]:
    """The gateway's end of a channel to a real worker's endpoint, on threads of this process."""
    from modelyard.serving.replica import worker
    from modelyard.serving.replica.reception import Work

    ours, theirs = socket.socketpair()
    works: dict[int, Work] = {}
    model = Counter()

    def on_call(endpoint: Endpoint, call: Call, inputs: Any) -> None:
        work = works[call.id] = Work(endpoint, call, inputs)
        threading.Thread(
            target=worker._answer, args=(model, work, lambda: None), daemon=True
        ).start()

    endpoint = Endpoint(theirs, lambda: None, on_call, lambda _, number: works[number].stop.set())
    theirs.setblocking(True)

    def receive() -> None:
        try:
            while True:
                endpoint.receive()
        except OSError:
            endpoint.close()

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    yield ours
    ours.close()
    thread.join(10)


@pytest.mark.asyncio
async def test_calls_run_beside_each_other_and_end_with_their_counts(
    replica: socket.socket,
) -> None:
    speaker, _ = made()
    speaker.connected("rep_1", replica)
    heard = [Heard() for _ in range(3)]

    for each in heard:
        speaker.speak(asked("together", max_tokens=3), 30, each)

    ends = await asyncio.wait_for(asyncio.gather(*(each.end for each in heard)), 20)
    assert ends == [Finish(Reason.STOP, 5, 3)] * 3
    assert {each.text for each in heard} == {"1 2 3 "}
    speaker.close()


def test_what_one_step_gave_to_all_calls_goes_out_at_once() -> None:
    ours, theirs = socket.socketpair()
    endpoint = Endpoint(theirs, lambda: None, lambda *_: None, lambda *_: None)
    reader = FrameReader[Any](FROM_LANGUAGE_REPLICA, 0)
    one, two = Call(1, ()), Call(2, ())

    endpoint.say(one, Piece("a"))
    endpoint.say(two, Piece("b"))
    endpoint.tell()
    endpoint.tell()
    endpoint.say(two, Piece("c"))
    endpoint.answer(one, {}, 0, written(Finish(Reason.STOP, 1, 1)))

    step, rest, end = (frame.message for frame in reader.feed(ours.recv(65536)))
    assert step == Pieces((Said(1, Piece("a")), Said(2, Piece("b"))))
    assert rest == Pieces((Said(2, Piece("c")),))
    assert end.id == 1
    endpoint.close()
    ours.close()


@pytest.mark.asyncio
async def test_who_is_cancelled_says_what_it_had_generated(replica: socket.socket) -> None:
    speaker, _ = made()
    heard = Heard()
    spoken = speaker.speak(asked(), 30, heard)
    speaker.connected("rep_1", replica)
    await asyncio.wait_for(heard.second.wait(), 10)

    spoken.cancel()

    end = await asyncio.wait_for(heard.end, 10)
    assert (end.reason, end.completion) == (Reason.CANCELLED, len(heard.pieces))
    speaker.close()


@pytest.mark.asyncio
async def test_a_prompt_that_does_not_fit_keeps_its_name(replica: socket.socket) -> None:
    speaker, _ = made()
    speaker.connected("rep_1", replica)
    heard = Heard()

    speaker.speak(asked("long"), 30, heard)

    with pytest.raises(ContextOverflow, match="does not fit"):
        await asyncio.wait_for(heard.end, 10)
    speaker.close()


@pytest.mark.asyncio
async def test_what_no_frame_could_carry_is_too_long_for_any_context() -> None:
    speaker, host = made()

    with pytest.raises(ContextOverflow, match="800"):
        speaker.speak(asked("x" * 800_000), 30, Heard())

    assert host.asked == 0
    speaker.close()


@pytest.mark.asyncio
async def test_calls_wait_for_a_replica_and_not_for_ever() -> None:
    speaker, host = made()
    late, gone, refused = Heard(), Heard(), Heard()

    speaker.speak(asked(), 0.05, late)
    speaker.speak(asked(), 30, gone).cancel()

    assert (await gone.end).reason is Reason.CANCELLED
    with pytest.raises(ModelyardError, match="before a replica was there"):
        await asyncio.wait_for(late.end, 10)
    speaker.speak(asked(), 30, refused)
    assert host.asked == 1
    speaker.refused("no memory", 5.0)
    with pytest.raises(Unavailable, match="no memory"):
        await refused.end
    with pytest.raises(Unavailable, match="no memory"):
        speaker.speak(asked(), 30, Heard())
    speaker.close()


def ended(finish: Finish) -> Answer:
    return Answer(1, (), details=written(finish))


def said(piece: Piece) -> Pieces:
    return Pieces((Said(1, piece),))


def lying(sock: socket.socket, *messages: msgspec.Struct) -> None:
    """A replica that says this to whatever it is asked, and then hangs up."""
    reader = FrameReader[Any](FROM_GATEWAY, 1 << 20)
    while not reader.feed(sock.recv(65536)):
        pass
    for message in messages:
        sock.sendall(b"".join(bytes(part) for part in pack(message)))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("messages", "wrong"),
    [
        ([said(Piece("a")), ended(Finish(Reason.STOP, 1, 9))],
         "counted 9 tokens where 1 came"),
        ([ended(Finish(Reason.STOP, 1, 0, 5))], "counted"),
        ([Pieces((Said(7, Piece("a")),))], "not asked"),
        ([Part(1, details=written(Piece("a")))], "no message of ours"),
        ([Answer(1, (), details=written(Piece("a")))], "after the end"),
        ([said(Piece("a", -1))], "-1 tokens"),
        ([Answer(1, (), details=b"{}")], "not what one says"),
        ([said(Piece("x" * 70_000))], "70000 characters"),
    ],
)  # fmt: skip
async def test_a_replica_that_lies_is_let_go(messages: list[Any], wrong: str) -> None:
    speaker, host = made()
    ours, theirs = socket.socketpair()
    speaker.connected("rep_1", ours)
    heard = Heard()
    speaker.speak(asked(), 30, heard)

    await asyncio.to_thread(lying, theirs, *messages)

    with pytest.raises(ModelyardError, match="process ended"):
        await asyncio.wait_for(heard.end, 10)
    [(replica_id, said)] = host.gone
    assert replica_id == "rep_1"
    assert wrong in said
    theirs.close()
    speaker.close()


@pytest.mark.asyncio
async def test_a_replica_that_dies_breaks_its_answers_off() -> None:
    speaker, host = made()
    ours, theirs = socket.socketpair()
    speaker.connected("rep_1", ours)
    begun, fresh = Heard(), Heard()
    speaker.speak(asked(), 30, begun)
    speaker.speak(asked(), 30, fresh)

    await asyncio.to_thread(lying, theirs, said(Piece("a")))
    theirs.close()

    with pytest.raises(ModelyardError, match="in the middle"):
        await asyncio.wait_for(begun.end, 10)
    with pytest.raises(ModelyardError, match="try again"):
        await asyncio.wait_for(fresh.end, 10)
    assert host.gone == [("rep_1", "")]
    speaker.close()


@pytest.mark.asyncio
async def test_whose_fault_a_failure_is() -> None:
    speaker, _ = made()
    ours, theirs = socket.socketpair()
    speaker.connected("rep_1", ours)
    one, two = Heard(), Heard()
    speaker.speak(asked(), 30, one)
    speaker.speak(asked(), 30, two)

    await asyncio.to_thread(
        lying, theirs, Failure(1, "invalid", "no"), Failure(2, "anything", "broken")
    )

    with pytest.raises(Invalid, match="no"):
        await asyncio.wait_for(one.end, 10)
    with pytest.raises(ModelyardError, match="the model failed: broken"):
        await asyncio.wait_for(two.end, 10)
    theirs.close()
    speaker.close()


@pytest.mark.asyncio
async def test_draining_waits_for_what_is_under_way(replica: socket.socket) -> None:
    speaker, host = made()
    speaker.connected("rep_1", replica)
    heard = Heard()
    spoken = speaker.speak(asked(), 30, heard)

    speaker.drain("rep_1")
    assert host.gone == []
    spoken.cancel()

    await asyncio.wait_for(heard.end, 10)
    assert host.gone == [("rep_1", "")]
    speaker.close()
