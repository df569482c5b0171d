"""Connections of gRPC clients: bursts of calls, pings, the number and the age of connections."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes import PATIENCE_S, tones_file, words
from served import HEALTH_CHECK, HEALTH_WATCH, Serve, Served
from waiting import wait_until

Code = grpc.StatusCode
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)  # else channels to one address share one


def own_channel(served: Served, *options: tuple[str, int]) -> grpc.Channel:
    return grpc.insecure_channel(served.address, [OWN_CONNECTION, *options])


def test_a_burst_that_the_event_loop_has_not_seen_waits_for_it(serve: Serve) -> None:
    served = serve()
    may_go_on = threading.Event()
    loop = served.background.server._loop

    async def burst() -> Counter[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(served.address) as channel:
            await channel.channel_ready()
            loop.call_soon_threadsafe(may_go_on.wait, PATIENCE_S)
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                HEALTH_CHECK
            )
            calls = [check(b"", timeout=PATIENCE_S) for _ in range(4000)]
            asyncio.get_running_loop().call_later(1, may_go_on.set)  # most have arrived by then
            return Counter(await asyncio.gather(*(call.code() for call in calls)))

    assert asyncio.run(burst()) == {Code.OK: 4000}


def test_connections_over_the_limit_are_closed_until_others_end(serve: Serve) -> None:
    served = serve(max_grpc_connections=2)
    channels = [own_channel(served) for _ in range(3)]
    first, second, third = (Served(served.background, served.model, one) for one in channels)
    for taken in (first, second):
        assert taken.unary(tones_file(10)).answer().text == words(10)

    assert third.unary(tones_file(10)).refusal().code == Code.UNAVAILABLE

    channels[0].close()
    request = health_pb2.HealthCheckRequest()
    stub = health_pb2_grpc.HealthStub(channels[2])
    assert stub.Check(request, timeout=PATIENCE_S, wait_for_ready=True)
    for channel in channels[1:]:
        channel.close()


def test_a_client_on_an_old_connection_connects_anew_and_keeps_its_call(serve: Serve) -> None:
    served = serve(max_connection_age_s=0.3)
    states: list[grpc.ChannelConnectivity] = []
    served.channel.subscribe(states.append)
    served.model.hold()
    call = served.unary(tones_file(10))

    wait_until(lambda: grpc.ChannelConnectivity.IDLE in states[2:])

    served.model.release()
    assert call.answer().text == words(10)
    assert served.unary(tones_file(11)).answer().text == words(11)


def test_calls_on_an_old_connection_have_the_grace_time(serve: Serve) -> None:
    served = serve(max_connection_age_s=0.1, max_connection_age_grace_s=0.1)
    served.model.hold()

    assert served.unary(tones_file(10)).refusal().code == Code.UNAVAILABLE
    served.model.release()


def test_one_who_watches_health_and_reads_nothing_keeps_no_server_from_its_drain(
    serve: Serve,
) -> None:
    served = serve()
    with own_channel(
        served, ("grpc.http2.lookahead_bytes", 0), ("grpc.http2.bdp_probe", 0)
    ) as channel:
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(HEALTH_WATCH)
        silent = watch(b"", timeout=PATIENCE_S)
        assert silent.initial_metadata() is not None

        ended = threading.Thread(target=served.background.drain)
        ended.start()
        ended.join(PATIENCE_S / 3)
        assert not ended.is_alive()


@pytest.mark.slow
def test_a_client_that_pings_every_6_s_keeps_its_call(serve: Serve) -> None:
    served = serve()
    served.model.hold()
    pings = [("grpc.keepalive_time_ms", 6000), ("grpc.http2.max_pings_without_data", 0)]
    with own_channel(served, *pings) as channel:
        call = Served(served.background, served.model, channel).unary(
            tones_file(10), timeout_s=None
        )
        served.model.wait_for_calls(1)
        threading.Event().wait(29)  # gRPC's own limit ends it after three or four pings

        served.model.release()
        assert call.answer().text == words(10)
