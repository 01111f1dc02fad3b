-- Check boxes, in every spelling. They are never NULL.
SELECT id FROM salesforce.contact WHERE do_not_call;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (20 rows)
SELECT id FROM salesforce.contact WHERE NOT has_opted_out_of_email AND do_not_call;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE HasOptedOutOfEmail != TRUE AND DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (17 rows)
SELECT id FROM salesforce.contact WHERE do_not_call = 't';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (20 rows)
SELECT id FROM salesforce.contact WHERE do_not_call <> false;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (20 rows)
SELECT id FROM salesforce.contact WHERE do_not_call IS TRUE;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (20 rows)
SELECT id FROM salesforce.contact WHERE do_not_call IS NOT FALSE;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (20 rows)
SELECT id FROM salesforce.contact WHERE do_not_call IS NOT DISTINCT FROM true;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (20 rows)
SELECT id FROM salesforce.contact WHERE do_not_call = ANY ('{t}');
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZbRYAW
--= 003RO000000EZbTYAW
--= 003RO000000EZbxYAG
--= 003RO000000EZcRYAW
--= 003RO000000EZcTYAW
--= (20 rows)
SELECT id FROM salesforce.contact WHERE do_not_call IS NULL;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: nothing: no record can match
--= (0 rows)
SELECT id FROM salesforce.contact WHERE do_not_call = has_opted_out_of_email AND do_not_call;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (contact.do_not_call = contact.has_opted_out_of_email)
-->   Remote Query: SELECT Id, HasOptedOutOfEmail, DoNotCall FROM Contact WHERE DoNotCall = TRUE
--= 003RO000000EZe6YAG
--= 003RO000000EZeeYAG
--= 003RO000000EZf5YAG
--= (3 rows)
