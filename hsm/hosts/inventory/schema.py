"""Models of a hosts file. Unlike `hsm.config.schema` they keep keys that they do not know.

Environment variables expand in every text that has a meaning here. The validation context holds `environment`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from hsm.config.rules.ssh_options import check_option_name, check_options, make_option_text
from hsm.config.rules.values import (
    check_host,
    check_path,
    check_printable,
    check_target_name,
    check_user,
)
from hsm.config.sections import Section, make_tuple
from hsm.hosts.inventory.rules import (
    check_address,
    check_jump,
    check_login,
    check_remote_path,
    check_url,
    expand,
    join_spellings,
)

Text = Annotated[str, BeforeValidator(expand)]
Address = Annotated[Text, AfterValidator(check_address)]
Word = Annotated[Text, AfterValidator(check_printable)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0)]

_ADDRESS: dict[str, Any] = {"allowed": "a host name or an address"}
_PORT: dict[str, Any] = {"allowed": "a whole number from 1 to 65535"}
_COUNT: dict[str, Any] = {"allowed": "a whole number from 0"}
_WORDS: dict[str, Any] = {"allowed": "a text"}
_PATH: dict[str, Any] = {"allowed": "an absolute path or ~/..."}


class _OpenSection(Section):
    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class NodeEntry(_OpenSection):
    """One machine of `hosts:`."""

    words: ClassVar[str] = (
        "a section with the keys of a machine, for example tailscale_ip, ssh_host, ssh_user, ssh_port, ssh_key"
    )

    tailscale_ip: Address | None = Field(
        default=None, description="Address in the tailnet; preferred.", json_schema_extra=_ADDRESS
    )
    ssh_host: Annotated[Text, AfterValidator(check_login)] | None = Field(
        default=None,
        description="Name, address or alias of ~/.ssh/config; may carry user@.",
        json_schema_extra={"allowed": "a host name, an address or an alias, with or without user@"},
    )
    ssh_user: Annotated[Text, AfterValidator(check_user)] = Field(
        default="ubuntu",
        description="Login name where ssh_host carries none.",
        json_schema_extra={"allowed": "a login name"},
    )
    ssh_port: Port = Field(default=22, description="Port of the ssh server.", json_schema_extra=_PORT)
    ssh_key: Annotated[Text, AfterValidator(check_path)] | None = Field(
        default=None, description="Private key to log in with.", json_schema_extra=_PATH
    )
    ringrift_path: Annotated[Text, AfterValidator(check_remote_path)] = Field(
        default="~/ringrift/ai-service",
        description="The project's folder there; ~ is the home folder there. Also spelled path.",
        json_schema_extra=_PATH,
    )
    status: Literal["active", "terminated", "offline", "setup", "unknown"] = Field(
        default="unknown",
        description="Whether it is there; terminated, offline and setup are not asked for anything.",
        json_schema_extra={"allowed": "active, terminated, offline, setup or unknown"},
    )
    role: Word = Field(default="unknown", description="What it does, in a word.", json_schema_extra=_WORDS)
    memory_gb: Count = Field(default=0, description="Memory in GB.", json_schema_extra=_COUNT)
    cpus: Count = Field(default=0, description="Number of processors.", json_schema_extra=_COUNT)
    gpu: Text = Field(default="", description="Its graphics processor, in words.", json_schema_extra=_WORDS)
    data_server_port: Port = Field(default=8766, description="Port of its `hsm hosts serve`.", json_schema_extra=_PORT)
    data_server_url: Annotated[Text, AfterValidator(check_url)] | None = Field(
        default=None,
        description="Where its data server is reached, if not by address and port.",
        json_schema_extra={"allowed": "a URL that begins with http:// or https://, without user and query"},
    )
    aliases: Annotated[tuple[Annotated[str, AfterValidator(check_host)], ...], BeforeValidator(make_tuple)] = Field(
        default=(), description="Further names of this machine.", json_schema_extra={"allowed": "a list of host names"}
    )
    lan_host: Address | None = Field(
        default=None, description="Name or address in the local network.", json_schema_extra=_ADDRESS
    )
    public_host: Address | None = Field(
        default=None, description="Name or address in the public internet.", json_schema_extra=_ADDRESS
    )
    jump_host: Annotated[Text, AfterValidator(check_jump)] | None = Field(
        default=None,
        description="Machines to log in through, where no address answers.",
        json_schema_extra={"allowed": "a list of [user@]host[:port], separated by commas"},
    )
    transfer_host: Annotated[str, AfterValidator(check_target_name)] | None = Field(
        default=None,
        description="The node through which files go to this one.",
        json_schema_extra={"allowed": "the name of another machine in this file"},
    )
    ssh_options: dict[
        Annotated[str, AfterValidator(check_option_name)],
        Annotated[str, BeforeValidator(make_option_text), AfterValidator(check_printable)],
    ] = Field(
        default_factory=dict,
        description="Further options of ssh_config(5).",
        json_schema_extra={"allowed": "names of ssh_config(5), each with a text, a whole number, yes or no"},
    )

    @model_validator(mode="before")
    @classmethod
    def _join_spellings(cls, data: object) -> object:
        return join_spellings(data, "path", "ringrift_path")

    @field_validator("ssh_options")
    @classmethod
    def _check_options(cls, options: dict[str, str]) -> dict[str, str]:
        check_options(options)
        return options


class EloSyncEntry(_OpenSection):
    """`elo_sync:`, also spelled `score_sync:`."""

    coordinator: Word = Field(
        default="mac-studio",
        description="The machine whose score file is the authority.",
        json_schema_extra={"allowed": "the name of a machine in this file"},
    )
    sync_port: Port = Field(default=8766, description="Port of its data server.", json_schema_extra=_PORT)
    sync_interval: Annotated[int, Field(ge=1)] = Field(
        default=300, description="Seconds between two pulls.", json_schema_extra={"allowed": "a whole number from 1"}
    )
    divergence_threshold: Count = Field(
        default=50, description="A larger difference in a rating is flagged.", json_schema_extra=_COUNT
    )
    transports: Annotated[tuple[Literal["tailscale", "aria2", "http"], ...], BeforeValidator(make_tuple)] = Field(
        default=("tailscale", "aria2", "http"),
        description="In which order ways to pull are tried.",
        json_schema_extra={"allowed": "a list of tailscale, aria2 and http"},
    )


class HostsFile(_OpenSection):
    """Whole of a hosts file."""

    hosts: dict[Annotated[str, AfterValidator(check_target_name)], NodeEntry] = Field(
        default_factory=dict,
        description="The machines, by name.",
        json_schema_extra={
            "allowed": "sections, named with up to 64 letters, digits and . _ - (first a letter or digit)"
        },
    )
    elo_sync: EloSyncEntry = Field(
        default=EloSyncEntry(), description="How scores are kept in step. Also spelled score_sync."
    )

    @model_validator(mode="before")
    @classmethod
    def _join_spellings(cls, data: object) -> object:
        return join_spellings(data, "score_sync", "elo_sync")
