"""A reverse proxy: relays methods, bodies, status and headers to the client ``upstream`` of http.yaml.

Serve something to relay to, and the proxy on another port:

    siphon examples/rest_api.py
    siphon examples/proxy.py --listen 127.0.0.1:8081

and then:

    curl -i http://127.0.0.1:8081/items?limit=1
    curl -i -I http://127.0.0.1:8081/items
    curl -i -X POST -H 'Authorization: Bearer s3cr3t' -d '{"name": "cog"}' http://127.0.0.1:8081/items
    curl -i -X POST -d '{"name": "cog"}' http://127.0.0.1:8081/items
    curl -i -X PUT http://127.0.0.1:8081/items
    curl -i http://127.0.0.1:8081/files/css/site.css

Bodies are buffered both ways, up to max_body_bytes and max_response_bytes. Behind another proxy, put
its address into trusted_proxies.
"""

from siphon import http, log

# Fields that are for the next hop alone (RFC 9110, sections 7.6.1 and 11.7), and those that are anew for
# each hop: Host and Content-Length are http.Client's to set, and an Expect has been met.
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
OF_THE_REQUEST = {"content-length", "expect", "host"}
VIA = "1.1 siphon"

upstream = http.Client("upstream")


@http.route("/", methods=["*"])
@http.route("/{*rest}", methods=["*"])
async def relay(req: http.Request) -> http.Response:
    target = req.raw_path + (f"?{req.raw_query}" if req.raw_query else "")
    try:
        answer = await upstream.request(req.method, target, headers=forwarded(req), body=req.body())
    except http.TimeoutError as error:
        log.warning(error)
        return http.Response(504, body="the upstream took too long\n")
    except http.ClientError as error:
        log.warning(error)
        return http.Response(502, body="the upstream cannot be reached\n")
    except ValueError as error:
        return http.Response(400, body=f"{error}\n")
    dropped = HOP_BY_HOP | options(answer.header("connection"))
    fields = [
        (name, value)
        for name in answer.headers
        if name not in dropped
        for value in answer.headers.get_all(name)
    ]
    return http.Response(answer.status, fields, answer.body)


def forwarded(req: http.Request) -> dict[str, str]:
    """The request's fields for the upstream: those of this hop left out, who asked and who relays added."""
    dropped = HOP_BY_HOP | OF_THE_REQUEST | options(req.header("connection"))
    fields = {name: value for name, value in req.headers.items() if name not in dropped}
    address = req.client.rpartition(":")[0].strip("[]")
    fields["x-forwarded-for"] = appended(req.header("x-forwarded-for"), address)
    fields["via"] = appended(req.header("via"), VIA)
    return fields


def appended(value: str | None, more: str) -> str:
    return f"{value}, {more}" if value else more


def options(connection: str | None) -> set[str]:
    """The names that a Connection field lists: they go no further than it does."""
    return {option.strip().lower() for option in (connection or "").split(",")}
