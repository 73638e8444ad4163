"""A WebSocket echo server: echo.py ADDRESS PORT. Prints "serving" once it listens."""

import asyncio
import sys

import websockets


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def main():
    async with websockets.serve(echo, sys.argv[1], int(sys.argv[2]), max_size=None, ping_interval=None):
        print("serving", flush=True)
        await asyncio.Future()


asyncio.run(main())
