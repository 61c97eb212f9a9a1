"""As many routes as $ROUTES says, all with a parameter and the same handler."""

import os

from siphon import http


async def hello(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")


for number in range(int(os.environ["ROUTES"])):
    http.route(f"/things{number}/{{id}}/parts")(hello)
