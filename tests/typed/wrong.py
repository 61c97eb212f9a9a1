"""What type checkers must refuse: each line that is at fault says so, and a comment too many is an error."""

from siphon import http


def no_request() -> http.Response:
    return http.Response()


def no_response(req: http.Request) -> str:
    return req.path


async def no_async_response(req: http.Request) -> None: ...


def right(req: http.Request) -> http.Response:
    return http.Response()


async def sync_call_next(req: http.Request, call_next: http.SyncCallNext) -> http.Response:
    return call_next(req)


def async_call_next(req: http.Request, call_next: http.CallNext) -> http.Response:
    return http.Response()


def with_argument(number: int) -> None: ...


http.route("/")(no_request)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
http.route("/")(no_response)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
http.route("/")(no_async_response)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
http.route("/", "GET")(right)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
http.route(no_request)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
http.middleware(no_response)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
http.middleware(sync_call_next)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
http.middleware(async_call_next)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
http.on_startup(with_argument)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
http.Response("200")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
http.Response(200, {"X-One": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
http.Response(200, None, {"a": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
http.Client(base_url=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
http.Client("api", time_out=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
