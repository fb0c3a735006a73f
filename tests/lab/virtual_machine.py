"""A machine with Debian's own kernel, for what the kernel of this one may lack: QEMU, no disk, no network.

The lab's base image is unpacked into its memory, beside the kernel's modules; a script goes in by a virtio port and
what it printed comes back. Where /dev/kvm works it is used, elsewhere QEMU translates.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.image import build_image
from deploy.lab.machine import guest_kernel

INIT = Path(__file__).with_name("guest_init.py")
#: Of the kernel's modules, what a router's network needs and what leads to the virtio port.
MODULES = (
    "net/802", "net/bridge", "net/core", "net/ipv4", "net/ipv6", "net/llc", "net/netfilter",
    "drivers/net/veth.ko", "drivers/net/vrf.ko", "drivers/net/vxlan", "drivers/virtio",
    "drivers/char/virtio_console.ko", "lib", "crypto", "arch/x86/crypto",
)  # fmt: skip
#: Of the base image, what fills memory and is not called.
LEFT_OUT = (
    "./usr/share", "./var", "./boot", "./usr/lib/systemd", "./usr/lib/apt", "./usr/lib/udev", "./usr/bin/perl*",
    "./usr/lib/*/perl", "./usr/lib/*/perl-base", "./usr/lib/*/libperl*", "./usr/lib/*/systemd", "./usr/lib/*/gconv",
)  # fmt: skip
MEMORY = "768M"
#: Seconds until the machine answers, without KVM and on a machine that has other work.
PATIENCE = 120
#: Where KVM works it is used (no such machine was at hand to measure on). Where it is there and the processor lacks
#: what every one has, which is so within some clouds' machines, QEMU ends at once (`enforce`).
KVM = ("-accel", "kvm", "-cpu", "kvm64,enforce")
KVM_PATIENCE = 20
TRANSLATED = ("-accel", "tcg,thread=multi", "-cpu", "qemu64")


@dataclass
class Machine:
    """A running machine: `run` a script in it."""

    channel: socket.socket
    folder: Path

    def run(
        self, script: str, *, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script to its end.

        Raises:
            subprocess.CalledProcessError: it failed, with `check`; the script and its words are in the message.
            TimeoutError: the machine does not answer.
        """
        self.channel.settimeout(timeout + 30)
        self.channel.sendall(f"{timeout} {script.encode().hex()}\n".encode())
        code, *outputs = self.line().split()
        out, err = ("" if text == "-" else bytes.fromhex(text).decode(errors="replace") for text in outputs)
        done = subprocess.CompletedProcess(script, int(code), out, err)
        if check and done.returncode:
            raise AssertionError(f"{script}\nended with {code}\n{out}{err}")
        return done

    def line(self) -> str:
        """The next line that the machine says."""
        found = bytearray()
        while not found.endswith(b"\n"):
            part = self.channel.recv(65536)
            if not part:
                words = "".join(
                    (self.folder / name).read_text(errors="replace") for name in ("qemu", "console")
                )
                raise EOFError(f"the machine ended: {words[-2000:]}")
            found += part
        return found.decode()


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a machine whose files are in `folder`; it ends with the block.

    Raises:
        TimeoutError: it does not answer.
        EOFError: it ended; the message has the end of its console.
    """
    kernel, modules, module_tools = guest_kernel(print)
    memory_disk = _memory_disk(folder, modules, module_tools)
    command = [
        # Ends with this process, whatever ends this process.
        "setpriv", "--pdeathsig", "KILL",
        "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-smp", "2", "-m", MEMORY,
        "-kernel", str(kernel), "-initrd", str(memory_disk), "-append", "console=ttyS0 panic=-1 quiet",
        "-serial", f"file:{folder / 'console'}",
        # A path from here: a socket's whole name has 107 bytes.
        "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=port",
        "-chardev", f"socket,id=port,path={os.path.relpath(folder / 'port')}",
    ]  # fmt: skip
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(_started(folder, [*command, *KVM], KVM_PATIENCE))
        except (EOFError, TimeoutError):
            machine = stack.enter_context(_started(folder, [*command, *TRANSLATED], PATIENCE))
        yield machine


@contextmanager
def _started(folder: Path, command: list[str], patience: float) -> Iterator[Machine]:
    port = folder / "port"
    port.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening, (folder / "qemu").open("w") as words:
        listening.bind(os.path.relpath(port))
        listening.listen()
        listening.settimeout(patience)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
        try:
            channel, _ = listening.accept()
            with channel:
                channel.settimeout(patience)
                machine = Machine(channel, folder)
                assert machine.line() == "ready\n"
                yield machine
        finally:
            process.kill()
            process.wait(timeout=30)


def _memory_disk(folder: Path, modules: Path, module_tools: Path) -> Path:
    """The base image, the modules and the first process, as the archive that the kernel unpacks into memory."""
    extra = folder / "extra"
    target = extra / "usr/lib/modules" / modules.name
    for name in MODULES:
        source, place = modules / "kernel" / name, target / "kernel" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place)
        elif source.exists():  # another kernel may have it built in
            shutil.copy(source, place)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(modules / name, target / name)
    (extra / "usr/sbin").mkdir(parents=True)
    shutil.copy(module_tools, extra / "usr/sbin/kmod")
    (extra / "usr/sbin/modprobe").symlink_to("kmod")
    shutil.copy(INIT, extra / "init")
    (extra / "init").chmod(0o755)
    # On the machine that has a minute to spare: the other may be translated, instruction by instruction.
    (extra / "lib").symlink_to("usr/lib")
    subprocess.run(
        ["depmod", "-b", str(extra), modules.name], executable=module_tools, check=True, timeout=60
    )
    (extra / "lib").unlink()
    archive = folder / "memory-disk"
    prune = " -o ".join(f"-path '{name}'" for name in LEFT_OUT)
    steps = (
        f'cd "$1" && find . \\( {prune} \\) -prune -o -print0 | cpio --quiet -0 -o -H newc >"$3"\n'
        'cd "$2" && find . -print0 | cpio --quiet -0 -o -H newc >>"$3"'
    )
    subprocess.run(
        ["sh", "-euc", steps, "sh", str(build_image()), str(extra), str(archive)], check=True, timeout=120
    )
    shutil.rmtree(extra)
    return archive
