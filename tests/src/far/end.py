# One end of the line between two network namespaces. Runs in the namespace: brings up its loopback interface and a TUN
# device, and prints the file descriptor of the device. The process that started this one copies the descriptor before
# it closes our standard input.
import fcntl
import struct
import subprocess
import sys

# linux/if_tun.h
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4 = 0x01, 0x02

address, peer, segments = sys.argv[1:]
# With a virtio-net header before each packet, the kernel passes many segments at a time, as to a network card that cuts
# them. TCP counts them one by one all the same.
join = segments == "joined"
tun = open("/dev/net/tun", "r+b", buffering=0)
flags = IFF_TUN | IFF_NO_PI | (IFF_VNET_HDR if join else 0)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"line", flags))
if join:
    fcntl.ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)


def ip(words):
    subprocess.run(["ip", *words.split()], check=True)


ip("link set lo up")
ip(f"address add {address} dev line")
# A long queue: nothing is lost by accident.
ip("link set line up mtu 1500 txqueuelen 100000")
# Linux's defaults, whatever this machine has. And no connection learns from the losses of the one before.
ip(f"route add {peer} dev line congctl cubic")
for name, value in {
    "tcp_rmem": "4096 131072 6291456",
    "tcp_wmem": "4096 16384 4194304",
    "tcp_no_metrics_save": "1",
}.items():
    with open(f"/proc/sys/net/ipv4/{name}", "w") as setting:
        setting.write(value)

print(tun.fileno(), flush=True)
sys.stdin.read()
