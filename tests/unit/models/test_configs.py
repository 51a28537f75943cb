import dataclasses
from typing import ClassVar

import pytest
from torch import nn

from atml.errors import ModelError
from atml.models import ARCHITECTURES, Architecture, Config, get_architecture, width
from atml.models.afnet import AFNetConfig

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())


class TestConfigDicts:
    @every_architecture
    def test_round_trip(self, architecture: Architecture):
        config = architecture.default()
        values = dataclasses.asdict(config)
        assert architecture.config_from_dict(values) == config
        assert all(type(value) in (int, float) for value in values.values())

    def test_configs_are_frozen_and_hashable(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            AFNetConfig().channels = 3  # type: ignore[misc]
        assert hash(AFNetConfig()) == hash(AFNetConfig())

    def test_an_unknown_field_is_answered_with_the_nearest_and_all(self):
        with pytest.raises(ModelError, match=r"afnet.*'chanels'.*'channels'.*channels, fc, dropout"):
            get_architecture("afnet").config_from_dict({"chanels": 4, "fc": 2, "dropout": 0.5})

    def test_a_missing_field_is_named(self):
        with pytest.raises(ModelError, match=r"lacks the field 'fc'.*channels, fc, dropout"):
            get_architecture("afnet").config_from_dict({"channels": 4, "dropout": 0.5})

    @pytest.mark.parametrize("value", ["4", 4.0, True, None])
    def test_a_wrong_type_is_named(self, value: object):
        with pytest.raises(ModelError, match=r"'channels' must be int.*channels, fc, dropout"):
            get_architecture("afnet").config_from_dict({"channels": value, "fc": 2, "dropout": 0.5})

    def test_a_whole_number_may_stand_for_a_float(self):
        values = {"channels": 4, "fc": 2, "dropout": 0}
        config = get_architecture("afnet").config_from_dict(values)
        assert config == AFNetConfig(dropout=0.0)

    def test_a_width_below_its_minimum_is_named(self):
        with pytest.raises(ModelError, match="'channels' must be an integer of at least 1"):
            get_architecture("afnet").config_from_dict({"channels": 0, "fc": 2, "dropout": 0.5})

    def test_a_field_of_a_config_without_fields_is_refused(self):
        with pytest.raises(ModelError, match="linear has no field 'channels': it has no fields"):
            get_architecture("linear").config_from_dict({"channels": 4})

    def test_width_marks_a_field(self):
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Own(Config):
            channels: int = width(10, minimum=4)
            kernel: int = 3

        own = Architecture(
            name="own",
            config=Own,
            network=lambda config, length: nn.Linear(length, config.channels),
            minimum_length=1,
        )
        assert own.minimum_widths == {"channels": 4}


def own(config: object) -> Architecture:
    return Architecture(name="own", config=config, network=lambda *_: nn.Identity(), minimum_length=1)  # type: ignore[arg-type]


def of(kind: object, default: object) -> type[Config]:
    return dataclasses.make_dataclass(
        "Own", [("field", kind, default)], bases=(Config,), frozen=True, kw_only=True
    )


class TestPlugIns:
    """A study must be able to store and to restore the configs of every architecture."""

    @pytest.mark.parametrize(
        ("kind", "default", "message"),
        [
            (
                int | None,
                None,
                r"type of the field 'field' must be int or float or str or bool but is int \| None",
            ),
            (tuple[int, ...], (1, 2), r"must be int or float or str or bool but is tuple\[int, ...\]"),
            (
                list,
                dataclasses.field(default_factory=list),
                "must be int or float or str or bool but is .*list",
            ),
            ("Missing", 1, "types of its config's fields cannot be read: NameError"),
            (float, width(8), "type of the field 'field' must be int but is .*float"),
            (int, 8.0, "the field 'field' must be int but got 8.0"),
            (int, dataclasses.field(), "every field of its config must have a default: .*'field'"),
        ],
        ids=["none", "tuple", "list", "unknown", "float width", "other default", "no default"],
    )
    def test_a_field_that_a_study_could_not_store_is_refused(self, kind, default, message):
        with pytest.raises(ModelError, match=f"own: .*{message}"):
            own(of(kind, default))

    def test_a_class_without_decorator_and_an_instance_are_refused(self):
        class Plain(Config):
            channels: int = 8

        for config in (Plain, AFNetConfig()):
            with pytest.raises(
                ModelError, match="own: its config must be a class with the decorator @dataclass"
            ):
                own(config)

    @pytest.mark.parametrize(("kind", "default"), [(str, "relu"), (bool, True), (float, 1), (int, width(8))])
    def test_plain_fields_make_the_round_trip(self, kind, default):
        architecture = own(of(kind, default))
        config = architecture.default()
        assert architecture.config_from_dict(dataclasses.asdict(config)) == config

    def test_a_constant_of_the_class_is_no_field(self):
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Own(Config):
            channels: int = width(8)
            KERNEL: ClassVar[int] = 5

        architecture = own(Own)
        assert architecture.config_from_dict({"channels": 4}) == Own(channels=4)
