"""Mail through Gmail, as the Gmail piece of ActivePieces sends it."""

from __future__ import annotations

import base64
import os
from email.message import EmailMessage
from typing import Any

import httpx

from app.colophon_rt.activepieces_http import HttpError
from app.colophon_rt.activepieces_values import flag_of, js_string, text_of

TIMEOUT_SECONDS = 60.0


async def send_email(given: dict[str, Any], auth: Any) -> Any:
    """Sends a mail, or keeps it as a draft, with the access token of a connection."""
    token = auth.get("access_token") if isinstance(auth, dict) else auth
    if not isinstance(token, str) or not token:
        raise ValueError("the step has no connection with an access token")
    raw = base64.urlsafe_b64encode(_mail(given).as_bytes()).decode()
    draft = flag_of(given, "draft")
    body = {"message": {"raw": raw}} if draft else {"raw": raw}
    base = os.environ.get("GMAIL_API_BASE_URL", "https://gmail.googleapis.com").rstrip(
        "/"
    )
    url = f"{base}/gmail/v1/users/me/{'drafts' if draft else 'messages/send'}"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
            headers = {"Authorization": f"Bearer {token}"}
            response = await client.post(url, headers=headers, json=body)
    except httpx.HTTPError as error:
        raise HttpError(500, None, None) from error
    if response.status_code >= 400:
        raise HttpError(response.status_code, response.text, None)
    # The piece called it `body` once, and `data` later.
    answer = response.json()
    return {"status": response.status_code, "data": answer, "body": answer}


def _mail(given: dict[str, Any]) -> EmailMessage:
    mail = EmailMessage()
    mail["To"] = ", ".join(_addresses(given, "receiver"))
    for header, name in (("Cc", "cc"), ("Bcc", "bcc"), ("Reply-To", "reply_to")):
        if found := _addresses(given, name):
            mail[header] = ", ".join(found)
    mail["Subject"] = text_of(given, "subject")
    sender = text_of(given, "from", required=False)
    if sender:
        name = text_of(given, "sender_name", required=False)
        mail["From"] = f"{name} <{sender}>" if name else sender
    text = text_of(given, "body" if "body" in given else "body_text") or ""
    html = text_of(given, "body_html", required=False)
    if given.get("body_type") == "html":
        mail.set_content(text, subtype="html")
        return mail
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def _addresses(given: dict[str, Any], name: str) -> list[str]:
    found = given.get(name) or []
    found = found if isinstance(found, list) else [found]
    return [js_string(address) for address in found if address]
