"""The service without its addresses: the bundles, the workers, and how an upload becomes jobs and their answers a result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, get_args

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from camtrace.bundle_check import check_name
from camtrace.screening import visible
from camtrace.types import CamtraceError, Mode
from camtrace.web.body import Held
from camtrace.web.settings import Settings, check
from camtrace.web.shelf import NameTakenError, Served, Shelf
from camtrace.web.unjudged import JUDGING, document
from camtrace.web.uploads import Sent, Upload, read_upload
from camtrace.web.workers import Answer, ClosedError, Job, Pool, QueueFullError, WorkerFailedError

_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_SECONDS_A_PHOTO = 0.3  # a guess, for Retry-After


class Service:
    """One service. Loading its bundles may raise CamtraceError."""

    def __init__(self, settings: Settings) -> None:
        check(settings)
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it warns of broken forms with what is in them
        self.settings = settings
        self.held = Held(settings.limits.held)
        self.shelf = Shelf(settings.bundles, keep=settings.keep)
        self.pool: Pool | None = None

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """From the start to the end: at the end every photo that was accepted is still judged."""
        self.pool = Pool(self.settings.workers, self.settings.limits)
        try:
            yield
        finally:
            await asyncio.to_thread(self.pool.close)

    @property
    def waiting(self) -> int:
        """Photos that wait for a worker."""
        return self.pool.waiting if self.pool else 0

    async def read(self, request: Request) -> Upload:
        """The upload of a request; refused before it is read where the queue is full anyway."""
        if self.waiting >= self.settings.limits.queue:
            raise self._busy()
        return await read_upload(request, limits=self.settings.limits)

    def bundle(self, name: str | None) -> Served:
        """The bundle of this name, or HTTPException 422."""
        if served := self.shelf.find(name or None):
            return served
        known = ", ".join(one.name for one in self.shelf)
        raise HTTPException(422, f"there is no bundle called {visible(name or '', longest=80)!r}, expected one of {known}")

    def job(self, task: str, photos: Sequence[Sent], bundle: Served, **options: Any) -> Job:
        """One job about some photos of an upload."""
        names, blobs = [photo.name for photo in photos], [photo.data for photo in photos]
        return Job(task, {"names": names, **options}, blobs, bundle, self.settings.limits.judging)

    async def ask(self, request: Request, jobs: Sequence[Job]) -> list[Answer | WorkerFailedError]:
        """Let workers do jobs; those of a client who leaves are taken from the queue.

        Raises HTTPException 429 or 503.
        """
        self._submit(jobs)
        waited: asyncio.Future[list[Any]] = asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs), return_exceptions=True)
        gone: asyncio.Future[Any] = asyncio.ensure_future(_until_gone(request))
        try:
            await asyncio.wait({waited, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waited.done():
                raise ClientDisconnect
            return [_expected(one) for one in waited.result()]
        finally:
            gone.cancel()
            waited.cancel()
            await asyncio.gather(gone, waited, return_exceptions=True)

    async def judge(self, request: Request, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        """The results of jobs that have one whatever happens: a photo that could not be judged is `unreadable`."""
        found = []
        for job, answer in zip(jobs, await self.ask(request, jobs), strict=True):
            if isinstance(answer, WorkerFailedError):
                found.append(await asyncio.to_thread(_not_judged, job, str(answer)))
            else:
                found.append(_document(answer))
        return found

    async def make(self, request: Request, job: Job) -> Answer:
        """The answer of a job that has none where the photo cannot be judged: HTTPException 422 then."""
        answer = (await self.ask(request, [job]))[0]
        if isinstance(answer, WorkerFailedError):
            names = job.options["names"]
            raise HTTPException(422, f"{visible(names[0]) if len(names) == 1 else 'these photos'}: {answer}")
        _document(answer)
        return answer

    async def enroll(self, request: Request, upload: Upload, *, base: Served) -> dict[str, Any]:
        """Teach a bundle from an upload and put it on the shelf; what is told about it."""
        cameras = cameras_of(upload)
        name = upload.field("name") or self.shelf.suggest()
        only = _truth(upload.field("only", "false"))
        with self._reserved(name):
            job = self.job("enroll", upload.photos, base, cameras=cameras, name=name, only=only)
            job.limit *= 1 + len(upload.photos)
            answer = await self.make(request, job)
            files = dict(zip(answer.head["names"], answer.blobs, strict=True))
            try:
                served = await asyncio.to_thread(self.shelf.write, files)
            except FileExistsError:
                raise HTTPException(409, f"there is a bundle called {name}; choose another name") from None
            except OSError as error:
                raise HTTPException(507, f"the bundle cannot be written: {error.strerror or type(error).__name__}") from None
            dropped = self.shelf.add(served)
        return {**answer.head["document"], "origin": served.origin, "dropped": dropped}

    @contextmanager
    def _reserved(self, name: str) -> Iterator[None]:
        try:
            with self.shelf.reserved(name):
                yield
        except NameTakenError as error:
            raise HTTPException(409, str(error)) from None
        except CamtraceError as error:
            raise HTTPException(422, str(error)) from None

    def _submit(self, jobs: Sequence[Job]) -> None:
        if self.pool is None:
            raise HTTPException(503, "the service has not started")
        try:
            self.pool.submit(jobs)
        except QueueFullError:
            raise self._busy() from None
        except ClosedError:
            raise HTTPException(503, "the service is ending") from None

    def _busy(self) -> HTTPException:
        seconds = min(60, max(1, round(self.waiting * _SECONDS_A_PHOTO / self.settings.workers)))
        return HTTPException(429, f"{self.waiting} photos wait already; try again in {seconds} s", {"Retry-After": str(seconds)})


def mode_of(upload: Upload, query: str | None) -> Mode:
    """The mode that a request asks for, in its form or else its address."""
    found = upload.field("mode", query) or "balanced"
    for mode in get_args(Mode):
        if found == mode:
            return mode  # type: ignore[no-any-return]
    raise HTTPException(422, f"mode {visible(found, longest=80)!r} is not one of {', '.join(get_args(Mode))}")


def cameras_of(upload: Upload) -> list[str]:
    """The camera of each photo of an enrolment: a field for each photo, one for all, or the folder in the photos' names."""
    given = upload.fields.get("camera", ())
    if given and len(given) not in (1, len(upload.photos)):
        raise HTTPException(422, f"{len(given)} fields camera for {len(upload.photos)} photos, expected one for each, or one for all")
    if given:
        cameras = [*given] * (len(upload.photos) if len(given) == 1 else 1)
    else:
        cameras = [_folder_of(photo.name) for photo in upload.photos]
    for camera in cameras:
        try:
            check_name("camera", camera)
            check_name("camera", camera.replace("_", " "))
        except ValueError as error:
            raise HTTPException(422, f"{error}; a camera is called by make and model, such as Nikon D90") from None
    return cameras


def _folder_of(name: str) -> str:
    parts = name.replace("\\", "/").split("/")
    if len(parts) < 2:
        raise HTTPException(422, "which camera took the photos? Expected a field camera for each, or photos called CAMERA/FILE")
    return parts[-2]


def _truth(text: str | None) -> bool:
    if text is None or text.lower() not in (*_YES, *_NO):
        raise HTTPException(422, "the field only is true or false")
    return text.lower() in _YES


def _document(answer: Answer) -> dict[str, Any]:
    """The result in an answer, or what is wrong as HTTPException: 422, or 501 where the service lacks something."""
    for key, status in (("error", 422), ("missing", 501)):
        if key in answer.head:
            raise HTTPException(status, str(answer.head[key]))
    found: dict[str, Any] = answer.head["document"]
    return found


def _not_judged(job: Job, reason: str) -> dict[str, Any]:
    assert job.task in JUDGING
    size = job.bundle.manifest.patch_size
    return document(job.task, job.options["names"], job.blobs, reason=reason, bundle=job.bundle.id, size=size)


def _expected(result: Answer | BaseException) -> Answer | WorkerFailedError:
    if isinstance(result, Answer | WorkerFailedError):
        return result
    raise result


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
