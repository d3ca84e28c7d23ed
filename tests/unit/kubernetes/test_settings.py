from __future__ import annotations

import pytest

from project_migration.settings import Settings, SettingsError, unknown

IMAGE = {"PROJECT_MIGRATION_HELPER_IMAGE": "registry.example/operator:1"}


def test_only_the_image_has_no_default() -> None:
    settings = Settings.from_environment(IMAGE)
    assert settings.namespaces == ()
    assert settings.helper_user == 65532
    with pytest.raises(SettingsError, match="PROJECT_MIGRATION_HELPER_IMAGE"):
        Settings.from_environment({})


def test_lists_are_separated_by_commas() -> None:
    settings = Settings.from_environment(
        {**IMAGE, "PROJECT_MIGRATION_NAMESPACES": "ml, vision,,ml", "PROJECT_MIGRATION_HELPER_PULL_SECRETS": "one"}
    )
    assert settings.namespaces == ("ml", "vision")
    assert settings.helper_pull_secrets == ("one",)


def test_the_platform_may_choose_the_helpers_user() -> None:
    assert Settings.from_environment({**IMAGE, "PROJECT_MIGRATION_HELPER_USER": "none"}).helper_user is None
    with pytest.raises(SettingsError, match="HELPER_USER"):
        Settings.from_environment({**IMAGE, "PROJECT_MIGRATION_HELPER_USER": "0"})


def test_every_wrong_variable_is_named_at_once() -> None:
    wrong = {**IMAGE, "PROJECT_MIGRATION_PASSES": "many", "PROJECT_MIGRATION_LOG_LEVEL": "LOUD"}
    with pytest.raises(SettingsError) as error:
        Settings.from_environment(wrong)
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == [
        "PROJECT_MIGRATION_LOG_LEVEL",
        "PROJECT_MIGRATION_PASSES",
    ]


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert Settings.from_environment({**IMAGE, "PROJECT_MIGRATION_PASSES": ""}).passes == 16


def test_service_links_are_warned_of_and_stop_nothing() -> None:
    environ = {**IMAGE, "PROJECT_MIGRATION_OPERATOR_SERVICE_HOST": "10.0.0.1"}
    assert Settings.from_environment(environ).passes == 16
    assert unknown(environ) == ("PROJECT_MIGRATION_OPERATOR_SERVICE_HOST",)


def test_images_for_major_versions_are_named_one_by_one() -> None:
    name = "PROJECT_MIGRATION_HELPER_POSTGRES_IMAGES"
    images = "17=registry.example:5000/ours@sha256:1, 18=ours:2,"
    found = Settings.from_environment({**IMAGE, name: images}).helper_postgres_images
    assert found == {17: "registry.example:5000/ours@sha256:1", 18: "ours:2"}
    for wrong in ("ours:2", "18", "18=", "9=ours:2", "new=ours:2", "18=ours:2,18=ours:3"):
        with pytest.raises(SettingsError, match=name):
            Settings.from_environment({**IMAGE, name: wrong})
