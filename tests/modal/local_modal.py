"""A server in the place of Modal's own, for the real client and the real container entry point.

It answers every call of the protocol, most with an empty message, and keeps what was asked, so that a
test can look at what a deployment sends. For a container it plays the part that hands out requests: the
bytes of a client go in (`FunctionCallGetDataIn`), the bytes of the answer come out
(`FunctionCallPutDataOut`), and volumes are committed and reloaded.
"""

import asyncio
import collections
import queue
import threading

import grpclib.server
from grpclib import GRPCError, Status
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
NAMES = [name for name in vars(ModalClientBase) if not name.startswith("_")]


def _answer(name):
    async def handler(self, stream):
        request = await stream.recv_message()
        with self.lock:
            self.calls[name].append(request)
        special = getattr(self, f"on_{name}", None)
        if special is None:
            if not stream._cardinality.server_streaming:
                await stream.send_message(stream._send_type())
            return
        answer = special(request)
        if stream._cardinality.server_streaming:
            async for message in answer:
                await stream.send_message(message)
        else:
            await stream.send_message(await answer if asyncio.iscoroutine(answer) else answer)

    return handler


Everything = type("Everything", (ModalClientBase,), {name: _answer(name) for name in NAMES})


class Call:
    """One HTTP request on its way through a container."""

    def __init__(self, number: int, method: str, scope: dict):
        self.id, self.method, self.scope = f"fc-{number}", method, scope
        self.incoming: asyncio.Queue = asyncio.Queue()
        self.outgoing: queue.Queue = queue.Queue()


class LocalModal(Everything):
    """`workspace` says what exists: volumes with their version, secrets with their keys."""

    IMAGE_BUILDER = "2026.10"

    def __init__(self, volumes=None, secrets=None, regions=("us-west",)):
        self.lock = threading.Lock()
        self.calls = collections.defaultdict(list)
        self.volumes = {"dreamcore-data": 2, "dreamcore-global": 2} if volumes is None else volumes
        self.secrets = secrets if secrets is not None else {
            "modal-internal-secret": ["MODAL_INTERNAL_SECRET"],
            "anthropic-api-key": ["ANTHROPIC_API_KEY"],
            "gemini-api-key": ["GEMINI_API_KEY"],
        }
        self.regions = regions
        self.values: dict[str, dict] = {}
        self.inputs: asyncio.Queue | None = None
        self.live: dict[str, Call] = {}
        self.cancelled: list[str] = []
        self.volume_calls: list[tuple[str, str, str]] = []
        self.volume_errors: dict[str, GRPCError] = {}
        self.volume_delay_s = 0.0

    # A deployment.

    def on_EnvironmentGetOrCreate(self, _):
        settings = api_pb2.EnvironmentSettings(image_builder_version=self.IMAGE_BUILDER)
        metadata = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=metadata)

    def on_AppCreate(self, _):
        return api_pb2.AppCreateResponse(app_id="ap-1", app_page_url="http://modal.test/app")

    def on_AppGetOrCreate(self, _):
        return api_pb2.AppGetOrCreateResponse(app_id="ap-1")

    def on_AppPublish(self, _):
        return api_pb2.AppPublishResponse(url="http://modal.test/app")

    def on_MountGetOrCreate(self, _):
        return api_pb2.MountGetOrCreateResponse(mount_id="mo-1")

    def on_MountPutFile(self, _):
        return api_pb2.MountPutFileResponse(exists=True)

    def on_SecretGetOrCreate(self, request):
        name = request.deployment_name
        if name and request.object_creation_type:
            self.values[name] = dict(request.env_dict)
            self.secrets[name] = list(request.env_dict)
        if name and name not in self.secrets:
            raise GRPCError(Status.NOT_FOUND, f"Secret '{name}' not found in environment 'main'")
        missing = [key for key in request.required_keys if key not in self.secrets.get(name, [])]
        if missing:
            raise GRPCError(Status.FAILED_PRECONDITION, f"Secret '{name}' is missing key(s): {', '.join(missing)}")
        return api_pb2.SecretGetOrCreateResponse(secret_id=f"st-{name or 'variables'}")

    def on_VolumeGetOrCreate(self, request):
        name = request.deployment_name
        if request.object_creation_type:
            self.volumes.setdefault(name, request.version or 1)
        if name not in self.volumes:
            raise GRPCError(Status.NOT_FOUND, f"Volume '{name}' not found in environment 'main'")
        metadata = api_pb2.VolumeMetadata(name=name, version=self.volumes[name])
        return api_pb2.VolumeGetOrCreateResponse(volume_id=f"vo-{name}", version=self.volumes[name], metadata=metadata)

    def on_ImageGetOrCreate(self, _):
        result = api_pb2.GenericResult(status=SUCCESS)
        metadata = api_pb2.ImageMetadata(image_builder_version=self.IMAGE_BUILDER)
        return api_pb2.ImageGetOrCreateResponse(image_id="im-1", result=result, metadata=metadata)

    def on_FunctionPrecreate(self, request):
        metadata = api_pb2.FunctionHandleMetadata(function_name=request.function_name)
        return api_pb2.FunctionPrecreateResponse(function_id=f"fu-{request.function_name}", handle_metadata=metadata)

    def on_FunctionCreate(self, request):
        function = request.function
        for region in function.scheduler_placement.regions:
            if region not in self.regions:
                raise GRPCError(Status.INVALID_ARGUMENT, f"Invalid region {region!r}")
        metadata = api_pb2.FunctionHandleMetadata(function_name=function.function_name)
        for name, method in function.method_definitions.items():
            url = f"https://acme--{method.webhook_config.requested_suffix}.modal.run"
            metadata.method_handle_metadata[name].CopyFrom(
                api_pb2.FunctionHandleMetadata(function_name=method.function_name, web_url=url, is_method=True)
            )
        ranked = api_pb2.FunctionData.RankedFunction(rank=0, function=function)
        data = api_pb2.FunctionData(function_name=function.function_name, ranked_functions=[ranked])
        return api_pb2.FunctionCreateResponse(
            function_id=f"fu-{function.function_name}", handle_metadata=metadata, function=function, function_data=data
        )

    def on_ClassCreate(self, _):
        return api_pb2.ClassCreateResponse(class_id="cs-1", handle_metadata=api_pb2.ClassHandleMetadata())

    def deployed(self, name):
        for call in self.calls["FunctionCreate"]:
            if call.function.function_name == name:
                return self.on_FunctionCreate(call)
        raise GRPCError(Status.NOT_FOUND, f"{name} is not deployed")

    def on_ClassGet(self, request):
        self.deployed(f"{request.object_tag}.*")
        return api_pb2.ClassGetResponse(class_id="cs-1")

    def on_FunctionGet(self, request):
        found = self.deployed(request.object_tag)
        return api_pb2.FunctionGetResponse(
            function_id=found.function_id, handle_metadata=found.handle_metadata, function=found.function_data
        )

    # A container.

    async def on_FunctionGetInputs(self, _):
        item = await self.inputs.get()
        if item is None:
            return api_pb2.FunctionGetInputsResponse(inputs=[api_pb2.FunctionGetInputsItem(kill_switch=True)])
        return api_pb2.FunctionGetInputsResponse(inputs=[item])

    async def on_FunctionCallGetDataIn(self, request):
        call = self.live[request.function_call_id]
        while (chunk := await call.incoming.get()) is not None:
            yield chunk

    def on_FunctionCallPutDataOut(self, request):
        from google.protobuf.empty_pb2 import Empty

        for chunk in request.data_chunks:
            self.live[request.function_call_id].outgoing.put(("data", chunk))
        return Empty()

    def on_FunctionPutOutputs(self, request):
        from google.protobuf.empty_pb2 import Empty

        for item in request.outputs:
            call = self.live.get(item.input_id.replace("in-", "fc-"))
            if call:
                call.outgoing.put(("end", item))
        return Empty()

    def on_ContainerHeartbeat(self, _):
        response = api_pb2.ContainerHeartbeatResponse()
        if self.cancelled:
            response.cancel_input_event.input_ids.append(self.cancelled.pop())
        return response

    async def _volume_call(self, operation, request, response):
        self.volume_calls.append((operation, request.volume_id, "begins"))
        await asyncio.sleep(self.volume_delay_s)
        self.volume_calls.append((operation, request.volume_id, "ends"))
        if operation in self.volume_errors:
            raise self.volume_errors[operation]
        return response

    async def on_VolumeCommit(self, request):
        return await self._volume_call("commit", request, api_pb2.VolumeCommitResponse(skip_reload=True))

    async def on_VolumeReload(self, request):
        from google.protobuf.empty_pb2 import Empty

        return await self._volume_call("reload", request, Empty())


class Running:
    """A `LocalModal` that serves on a port and on a UNIX socket, from a thread of its own."""

    def __init__(self, servicer: LocalModal, socket_path: str):
        self.servicer, self.socket_path = servicer, socket_path
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(10)

    def _serve(self, ready):
        asyncio.set_event_loop(self.loop)

        async def listen():
            self.servicer.inputs = asyncio.Queue()
            self.servers = [grpclib.server.Server([self.servicer]) for _ in range(2)]
            await self.servers[0].start("127.0.0.1", 0)
            await self.servers[1].start(path=self.socket_path)
            self.port = self.servers[0]._server.sockets[0].getsockname()[1]
            ready.set()

        self.loop.run_until_complete(listen())
        self.loop.run_forever()

    def soon(self, function, *args):
        self.loop.call_soon_threadsafe(function, *args)

    def close(self):
        async def stop():
            for server in self.servers:
                server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(stop(), self.loop)
        self.thread.join(10)
