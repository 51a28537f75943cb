from dataclasses import dataclass
from typing import ClassVar

import pytest
from pydantic import Field, ValidationError, create_model, model_validator
from torch import nn

from atml.errors import ModelError
from atml.models import ARCHITECTURES, Architecture, Config, get_architecture, width
from atml.models.afnet import AFNetConfig

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())


class TestConfigDicts:
    @every_architecture
    def test_round_trip(self, architecture: Architecture):
        config = architecture.default()
        values = config.model_dump()
        assert architecture.config_from_dict(values) == config
        assert all(type(value) in (int, float) for value in values.values())

    def test_configs_are_frozen_and_hashable(self):
        with pytest.raises(ValidationError, match="frozen"):
            AFNetConfig().channels = 3  # type: ignore[misc]
        assert hash(AFNetConfig()) == hash(AFNetConfig())

    def test_an_unknown_field_is_named_beside_all(self):
        with pytest.raises(ModelError, match="fields channels, fc, dropout but got chanels, fc, dropout"):
            get_architecture("afnet").config_from_dict({"chanels": 4, "fc": 2, "dropout": 0.5})

    def test_a_missing_field_is_named(self):
        with pytest.raises(ModelError, match=r"afnet has the config fields .* but got channels, dropout\."):
            get_architecture("afnet").config_from_dict({"channels": 4, "dropout": 0.5})

    @pytest.mark.parametrize("value", ["4", 4.0, True, None])
    def test_a_wrong_type_is_named(self, value: object):
        with pytest.raises(ModelError, match=r"afnet: the config's channels cannot be .*valid integer"):
            get_architecture("afnet").config_from_dict({"channels": value, "fc": 2, "dropout": 0.5})

    def test_a_whole_number_may_stand_for_a_float(self):
        values = {"channels": 4, "fc": 2, "dropout": 0}
        config = get_architecture("afnet").config_from_dict(values)
        assert config == AFNetConfig(dropout=0.0)

    def test_a_width_below_its_minimum_is_named(self):
        with pytest.raises(ModelError, match=r"channels cannot be 0 .*greater than or equal to 1"):
            get_architecture("afnet").config_from_dict({"channels": 0, "fc": 2, "dropout": 0.5})

    def test_a_field_of_a_config_without_fields_is_refused(self):
        with pytest.raises(ModelError, match=r"linear has the config fields none but got channels\."):
            get_architecture("linear").config_from_dict({"channels": 4})

    def test_width_marks_a_field(self):
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
    return create_model("Own", __base__=Config, field=(kind, default))


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
            (list, Field(default_factory=list), "must be int or float or str or bool but is .*list"),
            ("Missing", 1, "must be int or float or str or bool but is .*Missing"),
            (float, width(8), "type of the field 'field' must be int but is .*float"),
            (int, 8.0, "the config's field cannot be 8.0 .*valid integer"),
            (int, ..., "the field 'field' of its config must have a default"),
        ],
        ids=["none", "tuple", "list", "unknown", "float width", "other default", "no default"],
    )
    def test_a_field_that_a_study_could_not_store_is_refused(self, kind, default, message):
        with pytest.raises(ModelError, match=f"own: .*{message}"):
            own(of(kind, default))

    def test_a_dataclass_and_an_instance_are_refused(self):
        @dataclass(frozen=True, kw_only=True)
        class Plain:
            channels: int = 8

        @dataclass(frozen=True, kw_only=True)
        class Decorated(Config):
            channels: int = width(8)

        for config in (Plain, Decorated, AFNetConfig()):
            with pytest.raises(ModelError, match=r"must be a subclass of .*Config, without .* @dataclass"):
                own(config)

    def test_a_config_may_check_its_fields_together(self):
        class Own(Config):
            channels: int = width(8)
            groups: int = 2

            @model_validator(mode="after")
            def _is_divisible(self):
                if self.channels % self.groups:
                    raise ValueError("channels must be a multiple of groups")
                return self

        with pytest.raises(ModelError, match=r"own: the config's fields cannot be .*a multiple of groups"):
            own(Own).config_from_dict({"channels": 9, "groups": 2})

    @pytest.mark.parametrize(("kind", "default"), [(str, "relu"), (bool, True), (float, 1), (int, width(8))])
    def test_plain_fields_make_the_round_trip(self, kind, default):
        architecture = own(of(kind, default))
        config = architecture.default()
        assert architecture.config_from_dict(config.model_dump()) == config

    def test_a_constant_of_the_class_is_no_field(self):
        class Own(Config):
            channels: int = width(8)
            KERNEL: ClassVar[int] = 5

        architecture = own(Own)
        assert architecture.config_from_dict({"channels": 4}) == Own(channels=4)
