# A program that reports with Debian's sentry-sdk: app.py SCENARIO. Where it reports to is
# in SENTRY_DSN.
import asyncio
import json
import socket
import sys
import threading
import urllib.error
import urllib.request

import sentry_sdk
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration

name, _, count = sys.argv[1].partition("=")

sentry_sdk.init(
    release="shop@1.4.2",
    environment="production",
    server_name="web-1",
    traces_sample_rate=1.0 if name == "transaction" else None,
    auto_session_tracking=name == "session",
    integrations=[StarletteIntegration(), FastApiIntegration()],
)


class PaymentError(Exception):
    pass


def connect():
    raise ConnectionRefusedError(111, "Connection refused")


def pay(order):
    try:
        connect()
    except OSError as err:
        raise PaymentError(f"order {order} can't be paid") from err


def charge(user):
    password = "hunter2-correct-horse"
    card = "4111111111111111"
    details = {"card_number": card, "secret": password}
    raise PaymentError("declined for " + user["name"] + " of " + str(len(details)))


def depth(n):
    if n == 0:
        raise ValueError("too deep")
    return depth(n - 1) + 1


def caught(f, *args):
    try:
        f(*args)
    except Exception as err:
        sentry_sdk.capture_exception(err)


def context():
    sentry_sdk.set_user({"id": "7", "username": "amal", "email": "amal@example.com", "ip_address": "203.0.113.9"})
    sentry_sdk.set_tag("plan", "team")
    sentry_sdk.set_tag("region", "eu-central")
    sentry_sdk.set_context("cart", {"items": 3, "total": "41.50"})
    sentry_sdk.set_extra("attempt", 2)
    sentry_sdk.add_breadcrumb(category="auth", message="signed in", level="info", data={"method": "passkey"})
    sentry_sdk.add_breadcrumb(category="cart", message="three items", level="info")
    caught(pay, 17)


def fingerprint():
    with sentry_sdk.push_scope() as scope:
        scope.fingerprint = ["{{ default }}", "database-down"]
        caught(pay, 17)


def template():
    import logging

    logging.getLogger("shop").error("stock of %s is %d", "tea", 3)


def transaction():
    with sentry_sdk.start_transaction(name="GET /orders/{id}", op="http.server"):
        with sentry_sdk.start_span(op="db.query", description="SELECT * FROM orders"):
            pass
        with sentry_sdk.start_span(op="template", description="render"):
            pass


def session():
    hub = sentry_sdk.Hub.current
    hub.start_session(session_mode="application")
    caught(pay, 17)
    hub.end_session()


def attachment():
    with sentry_sdk.push_scope() as scope:
        scope.add_attachment(bytes=b"one tea\ntwo coffees\n", filename="order.txt", content_type="text/plain")
        scope.add_attachment(bytes=b"\x00\n\r\n\xff", filename="cart.bin")
        caught(pay, 17)


def many():
    for i in range(int(count)):
        caught(pay, i)
        if i % 20 == 19:
            sentry_sdk.flush(timeout=20)


def rejection():
    # A thread that an error ends, as nobody waits for it.
    thread = threading.Thread(target=pay, args=(17,))
    thread.start()
    thread.join()


def route():
    import uvicorn
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.post("/orders/{number}")
    async def order(number: int, request: Request):
        await request.json()
        pay(number)

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))

    async def serve():
        running = asyncio.ensure_future(server.serve(sockets=[listener]))
        await asyncio.get_running_loop().run_in_executor(None, ask)
        server.should_exit = True
        await running

    def ask():
        request = urllib.request.Request(
            "http://127.0.0.1:%d/orders/17?token=s3cret-token" % listener.getsockname()[1],
            json.dumps({"card": "4111111111111111", "password": "hunter2-correct-horse"}).encode(),
            {"Authorization": "Bearer s3cret-token", "Content-Type": "application/json"},
        )
        try:
            urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError:
            pass  # which is what this is about

    asyncio.run(serve())


scenarios = {
    "uncaught": lambda: pay(17),
    "rejection": rejection,
    "caught": lambda: caught(pay, 17),
    "locals": lambda: caught(charge, {"name": "Amal"}),
    "message": lambda: sentry_sdk.capture_message("the shop is open"),
    "template": template,
    "context": context,
    "fingerprint": fingerprint,
    "transaction": transaction,
    "session": session,
    "attachment": attachment,
    "many": many,
    "recursion": lambda: caught(depth, 40),
    "route": route,
}

scenarios[name]()
sentry_sdk.flush(timeout=20)
