"""Runs a command on leased power: the same as `hashlease lease run`, on stubs that protoc has made.

    pip install grpcio grpcio-status grpcio-tools
    python -m grpc_tools.protoc -I ../../../proto --python_out=. --grpc_python_out=. \\
        ../../../proto/hashlease/v1/lease.proto
    HASHLEASE_SERVER=site.example:8443 HASHLEASE_CA=ca.pem HASHLEASE_KEY=hl_acme_... \\
        python lease.py north 9000 60 -- python train.py
"""

import datetime
import os
import random
import subprocess
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2  # of googleapis-common-protos, which grpcio-status brings
from grpc_status import rpc_status

from hashlease.v1 import lease_pb2 as pb
from hashlease.v1 import lease_pb2_grpc

ATTEMPT = 15  # seconds for one answer
PATIENCE = 300  # seconds without any answer
GRACE = 30  # seconds before the end of the slot in which the command stops


def retry_delay(err):
    """Seconds that the server asks to wait; 0 if it does not."""
    answer = rpc_status.from_call(err)
    for detail in answer.details if answer else ():
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return 0


def may_pass(err):
    """Whether the same call may be answered later. No capacity stays none; too many calls do not."""
    if err.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return True
    return err.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and retry_delay(err) > 0


def insist(call, request, metadata):
    """Sends exactly the same request until there is an answer: with its request_id it happens once."""
    wait, until = 0.5, time.monotonic() + PATIENCE
    while True:
        try:
            return call(request, metadata=metadata, timeout=ATTEMPT)
        except grpc.RpcError as err:
            if not may_pass(err) or time.monotonic() > until:
                raise
            time.sleep(max(retry_delay(err), random.uniform(wait / 2, wait)))
            wait = min(2 * wait, 10)


def watch(leases, name, metadata):
    """Yields every change of a lease, once and in order, over lost connections."""
    seen = 0
    while True:
        try:
            request = pb.WatchLeasesRequest(name=name, after_revision=seen)
            for answer in leases.WatchLeases(request, metadata=metadata):
                if answer.lease.revision > seen:
                    seen = answer.lease.revision
                    yield answer.lease
        except grpc.RpcError as err:
            if err.code() == grpc.StatusCode.OUT_OF_RANGE:  # away for too long: as it is now
                seen = 0
            elif not may_pass(err):
                raise
        time.sleep(random.uniform(0.25, 0.5))


def run(command, seconds):
    """Runs a command for so long at most."""
    process = subprocess.Popen(command)
    try:
        return process.wait(max(0, seconds - GRACE))
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        return process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()  # what is drawn after the end is an overrun
        return process.wait()


def main():
    site, watts, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    command = sys.argv[sys.argv.index("--") + 1 :]
    with open(os.environ["HASHLEASE_CA"], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    metadata = [("authorization", "Bearer " + os.environ["HASHLEASE_KEY"])]
    with grpc.secure_channel(os.environ["HASHLEASE_SERVER"], credentials) as channel:
        leases = lease_pb2_grpc.LeaseServiceStub(channel)
        request = pb.CreateLeaseRequest(request_id=str(uuid.uuid4()))
        request.lease.site, request.lease.watts = "sites/" + site, watts
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        request.lease.end_time.FromDatetime(end.replace(microsecond=0))
        lease = insist(leases.CreateLease, request, metadata)
        try:
            for lease in watch(leases, lease.name, metadata):
                print(pb.LeaseState.Name(lease.state), lease.state_reason, file=sys.stderr)
                if lease.state == pb.LEASE_STATE_ACTIVE:
                    return run(command, lease.end_time.ToSeconds() - time.time())
                if lease.state >= pb.LEASE_STATE_ENDING:
                    return 1
        finally:
            cancel = pb.CancelLeaseRequest(name=lease.name, request_id=str(uuid.uuid4()))
            try:
                insist(leases.CancelLease, cancel, metadata)
            except grpc.RpcError as err:
                if err.code() != grpc.StatusCode.FAILED_PRECONDITION:  # it is over already
                    raise


if __name__ == "__main__":
    sys.exit(main())
