# Bugs, each of which is met in several ways. The number v says in which: with which
# values and through which caller. That two events are of one bug was decided here, by
# what somebody would have to mend, before anything grouped them.
import asyncio
import datetime
import json
import logging
import sys

import sentry_sdk

version = int(sys.argv[1])
sentry_sdk.init(release="shop@%d.0.0" % version, environment="production", server_name="web-1", auto_session_tracking=False)

users = ["amal", "omar", "layla", "noor"]
goods = ["tea", "coffee", "dates", "bread"]
numbers = [17, 40413, 8, 923]
ids = ["0b7c5d0a-6c1f-4a53-9a3b-7c0a4bb4f0d1", "f3b1a9d2-0d5e-4f6a-8a1c-2e9b7d6c5a40", "5d41402a-bc4b-4a76-b971-9d911017c592", "7d793037-a076-4890-9c2b-4f5c6d7e8f90"]
hashes = ["da39a3ee5e6b4b0d3255bfef95601890afd80709", "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "de9f2c7fd25e1b3afad3e85a0bd17d9b100db4b3", "a9993e364706816aba3e25717850c26c9cd0d89d"]


class PaymentError(Exception):
    pass


class HTTPError(Exception):
    pass


class ReportError(Exception):
    pass


def fail(message):  # one helper of unrelated bugs
    raise RuntimeError(message)


def check(method, path, status):
    raise HTTPError("%s %s answered %d" % (method, path, status))


def divide(amount, rates):
    return amount / rates["eur"]


def deep(n):
    if n == 0:
        return None.end
    return deep(n - 1) + 1


def query(host):
    raise TimeoutError("connection to %s:5432 timed out" % host)


def pages(n):
    yield n
    raise LookupError("page %d has no successor" % n)


class Cart:
    def total(self, v):
        raise TypeError("the price of %s is NaN" % goods[v])


class Invoice:
    def total(self, v):
        raise TypeError("invoice %d has no lines" % numbers[v])


def checkout(v):
    return divide(numbers[v], {"usd": 1})


def refund(v):
    amount = -numbers[v]
    return divide(amount, {})


def user_without_profile(v):
    return {"name": users[v], "profile": None}["profile"].picture


def order_unpaid(v):
    raise PaymentError("order %d can't be paid" % numbers[v])


def stock_missing(v):
    raise LookupError("there is no stock of " + goods[v])


def upstream_404(v):
    check("GET", "/orders/%d" % numbers[v], 404)


def upstream_500(v):
    check("POST", "/orders/%d" % numbers[v], 500)


def helper_config(v):
    fail("the configuration has no name")


def helper_mail(v):
    fail("mail to %s was refused" % users[v])


def helper_printer(v):
    fail("the printer has no paper")


def recursion_categories(v):
    return deep(5 + 9 * v)


def session_expired(v):
    raise PermissionError("session %s has expired" % ids[v])


def database_timeout(v):
    async def load():
        await asyncio.sleep(0)
        query("10.0.%d.7" % v)

    asyncio.run(load())


def anonymous_map(v):
    return list(map(lambda x: x + v, [1, 2, None]))


def config_json(v):
    return json.loads(["{a", "[1,", '{"b":', "nul"][v])


def cart_json(v):
    return json.loads(["}", "<html>", "", '{"items":}'][v])


# Two paths to one bug: rates that have no euro.
def rate_missing(v):
    return refund(v) if v % 2 else checkout(v)


def disk_message(v):
    sentry_sdk.capture_message("the disk is %d%% full" % (91 + v), "warning")


def queue_message(v):
    logging.getLogger("queue").error("%d jobs wait in the queue of %s", numbers[v], ["mails", "alerts", "mails", "backups"][v])


def report_database(v):
    try:
        query("db-%d.internal" % (v + 1))
    except TimeoutError as err:
        raise ReportError("the report failed") from err


def report_chart(v):
    try:
        [][-1].y
    except IndexError as err:
        raise ReportError("the report failed") from err


def cart_total(v):
    return Cart().total(v)


def invoice_total(v):
    return Invoice().total(v)


def invalid_date(v):
    return datetime.datetime.strptime("2026-13-0%d" % (v + 1), "%Y-%m-%d")


def mail_host(v):
    raise OSError("[Errno -2] Name or service not known: mx%d.example.com" % v)


def account_unknown(v):
    raise KeyError("%s@example.com" % users[v])


def object_lost(v):
    raise FileNotFoundError(2, "No such file or directory", "/var/lib/shop/objects/" + hashes[v])


def generator_end(v):
    return list(pages(numbers[v]))


def not_a_function(v):
    hooks = {"before": users[v]}
    return hooks["before"]()


def zero_people(v):
    return numbers[v] / len([])


def wrong_unpack(v):
    first, second = goods[: 1 + 2 * (v % 2)]
    return first + second


bugs = [
    user_without_profile, order_unpaid, stock_missing, upstream_404, upstream_500, helper_config, helper_mail,
    helper_printer, recursion_categories, session_expired, database_timeout, anonymous_map, config_json, cart_json,
    rate_missing, disk_message, queue_message, report_database, report_chart, cart_total, invoice_total, invalid_date,
    mail_host, account_unknown, object_lost, generator_end, not_a_function, zero_people, wrong_unpack,
]


def from_page(bug, v):
    return bug(v)


def from_job(bug, v):
    number = v
    return bug(number)


def from_webhook(bug, v):
    for n in [v]:
        bug(n)


for bug in bugs:
    for v in (0, 1) if version == 1 else (2, 3):
        with sentry_sdk.push_scope() as scope:
            scope.set_tag("bug", bug.__name__.replace("_", "-"))
            try:
                [from_page, from_job, from_webhook, from_page][v](bug, v)
            except Exception as err:
                sentry_sdk.capture_exception(err)
    sentry_sdk.flush(timeout=20)
