"""Refusals, in the shape of OpenAI's API: ``{"error": {"message", "type", "param", "code"}}``."""

from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serenanet_modules.runtime.ending import shortened

INVALID, SERVER, LIMIT = "invalid_request_error", "server_error", "rate_limit_error"


class APIError(HTTPException):
    """A refusal.

    Parameters
    ----------
    status : int
        HTTP's.
    message : str
        A sentence for people.
    param : str, optional
        The parameter that is wrong.
    code : str, optional
        For programs.
    retry_after : int, optional
        Seconds after which another try may do better.
    hang_up : bool
        Whether to read no more from this client.
    """

    def __init__(self, status, message, param=None, code=None, retry_after=None, hang_up=False):
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if hang_up:
            headers["Connection"] = "close"
        super().__init__(status, message, headers)
        self.param, self.code = param, code


def body(status, message, param=None, code=None):
    """The JSON of an error.

    Examples
    --------
    >>> body(404, "there is no model 'x'", "model", "model_not_found")
    {'error': {'message': "there is no model 'x'", 'type': 'invalid_request_error', 'param': 'model',
    'code': 'model_not_found'}}
    """
    kind = SERVER if status >= 500 else LIMIT if status == HTTPStatus.TOO_MANY_REQUESTS else INVALID
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response(error):
    """The response that says an `HTTPException`."""
    details = (error.param, error.code) if isinstance(error, APIError) else (None, None)
    said = body(error.status_code, shortened(error.detail), *details)
    return JSONResponse(said, error.status_code, error.headers)


def install(app):
    """Let every refusal of an application have this shape."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)


async def _refused(request, error):
    return response(error)


async def _invalid(request, error):
    first = error.errors()[0]
    name = next((part for part in reversed(first["loc"]) if isinstance(part, str)), "body")  # numbers are places in it
    told = (
        "must be a file with a filename" if "UploadFile" in first["msg"] else first["msg"].removeprefix("Value error, ")
    )
    return response(APIError(400, f"{name}: {told}", name, "invalid_value"))


async def _failed(request, error):
    return response(APIError(500, "the server failed on this request; its log says why"))
