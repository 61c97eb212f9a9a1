"""The scripts whose handlers end at a moment: that of their 504, or one that the client names."""

# {moment} is monotonic seconds: client and handlers run in one process, hence on one clock.
SCRIPT = """
    import asyncio
    import math
    import threading
    from time import monotonic
    from siphon import http

    TIMEOUT_S = 0.1
    TICK_S = 0.1
    never = threading.Event()
    ran = []

    class Aim:
        offset_s = 0.0

    aim = Aim()

    def moment_of_the_504():
        return math.ceil((monotonic() + TIMEOUT_S) / TICK_S) * TICK_S + aim.offset_s

    def wait(moment):
        never.wait(max(0.0, moment - monotonic()))

    async def sleep(moment):
        await asyncio.sleep(max(0.0, moment - monotonic()))

    def own(req):
        return http.Response(body=req.path_params["token"])

    @http.middleware
    def holding(req, call_next):
        return call_next(req)

    @http.route("/mark/{token}")
    async def mark(req):
        return own(req)

    # Collide with the 504 -----------------------------------------------------------------

    @http.route("/timed/async/{token}")
    async def timed_async(req):
        await sleep(moment_of_the_504())
        return own(req)

    @http.route("/timed/sync/{token}")
    def timed_sync(req):
        wait(moment_of_the_504())
        return own(req)

    @http.route("/timed/stubborn/{token}")
    async def timed_stubborn(req):
        try:
            await sleep(moment_of_the_504())
        except asyncio.CancelledError:
            pass
        return own(req)

    # Collide with what the client or the test does at a moment -----------------------------

    @http.route("/at/async/{moment}/{token}")
    async def at_async(req):
        await sleep(float(req.path_params["moment"]))
        return own(req)

    @http.route("/at/sync/{moment}/{token}")
    def at_sync(req):
        wait(float(req.path_params["moment"]))
        return own(req)

    # Never begun --------------------------------------------------------------------------

    @http.route("/hog/async")
    async def hog_async(req):
        never.wait(0.45)
        return http.Response()

    @http.route("/hog/sync")
    def hog_sync(req):
        never.wait(0.45)
        return http.Response()

    @http.route("/run/async/{token}")
    async def run_async(req):
        ran.append(req.path_params["token"])
        return own(req)

    @http.route("/run/sync/{token}")
    def run_sync(req):
        ran.append(req.path_params["token"])
        return own(req)
"""
HOLDING = """
    @http.middleware
    def holding(req, call_next):
        return call_next(req)
"""
PLAIN = SCRIPT.replace(HOLDING, "")
KINDS = [(PLAIN, "async"), (PLAIN, "sync"), (SCRIPT, "async"), (SCRIPT, "sync")]
KIND_NAMES = ["async", "sync", "held-async", "held-sync"]
assert PLAIN != SCRIPT
