"""What tells that a paragraph is about cookies or policies, in lower case: NeMo Curator's list, by what is apt in each.

NeMo Curator 0.9 and 1.x (`policy_substrings`, after C4) have some of them as whole paragraphs of a cookie notice.
"""

POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "privacy overview",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "necessary cookies are absolutely essential",
    "any cookies that may not be particularly necessary",
    "changing your cookie settings",
)
