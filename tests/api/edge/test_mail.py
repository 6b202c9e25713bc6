"""Mail of our own, handed to a real SMTP server."""

import pytest

from api.edge.mail import Mail, Mailer, MailNotSentError
from contracts.settings import MailSettings
from runtime.process import free_port
from tests.mailbox import smtp_server


async def test_a_mail_arrives_as_it_was_written() -> None:
    with smtp_server() as mailbox:
        await Mailer(mailbox.settings).send(
            Mail("kim@example.com", "Grüße\nBcc: x@example.com", "Ein Link: ü", "<1@x>")
        )
    [got] = mailbox.mails
    assert (got["To"], got["Subject"], got["Bcc"]) == ("kim@example.com", "Grüße Bcc: x@example.com", None)
    assert got.get_content().strip() == "Ein Link: ü"
    assert got["Message-ID"] == "<1@x>"


async def test_no_name_turns_the_line_that_it_stands_in() -> None:
    with smtp_server() as mailbox:
        await Mailer(mailbox.settings).send(Mail("kim@example.com", "\u202eemcA invites you", "\u2067Acme: \u202dלוי"))
    [got] = mailbox.mails
    assert (got["Subject"], got.get_content().strip()) == ("emcA invites you", "Acme: לוי")


@pytest.mark.parametrize(("answer", "is_final"), [("451 later", False), ("550 nobody here", True)])
async def test_a_refusal_says_whether_to_try_again(answer: str, is_final: bool) -> None:
    with smtp_server() as mailbox:
        mailbox.refuses = answer
        with pytest.raises(MailNotSentError, match=answer[4:]) as refused:
            await Mailer(mailbox.settings).send(Mail("kim@example.com", "s", "t"))
    assert refused.value.is_final is is_final


async def test_a_server_that_is_away_may_be_tried_again() -> None:
    settings = MailSettings(smtp_host="127.0.0.1", smtp_port=free_port(), smtp_security="none")
    with pytest.raises(MailNotSentError) as failed:
        await Mailer(settings).send(Mail("kim@example.com", "s", "t"))
    assert not failed.value.is_final


async def test_without_a_server_nothing_is_sent() -> None:
    mailer = Mailer(MailSettings())
    assert not mailer.is_configured
    with pytest.raises(MailNotSentError, match="SLUICE_SMTP_HOST"):
        await mailer.send(Mail("kim@example.com", "s", "t"))
