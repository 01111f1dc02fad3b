-- AND: whatever parts can be said. OR: if every branch can. NOT goes inwards.
SELECT id FROM salesforce.contact WHERE account_id = '001RO000000EZaiYAG' AND score__c > 0 AND length(title) > 3;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (length(contact.title) > 3)
-->   Remote Query: SELECT Id, Title FROM Contact WHERE Score__c > 0 AND AccountId = '001RO000000EZaiYAG'
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZc5YAG
--= 003RO000000EZcLYAW
--= 003RO000000EZd7YAG
--= (11 rows)
SELECT id FROM salesforce.contact WHERE account_id = '001RO000000EZaiYAG' OR score__c > 1000000;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZaiYAG' OR Score__c > 1000000
--= 003RO000000EZalYAG
--= 003RO000000EZanYAG
--= 003RO000000EZasYAG
--= 003RO000000EZawYAG
--= 003RO000000EZaxYAG
--= (112 rows)
SELECT id FROM salesforce.contact WHERE account_id = '001RO000000EZaiYAG' OR length(title) = 4;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: ((contact.account_id = '001RO000000EZaiYAG'::text) OR (length(contact.title) = 4))
-->   Remote Query: SELECT Id, AccountId, Title FROM Contact
--= 003RO000000EZakYAG
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZb8YAG
--= 003RO000000EZbJYAW
--= (60 rows)
SELECT id FROM salesforce.contact WHERE NOT (account_id = '001RO000000EZaiYAG' OR score__c > 0);
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE (AccountId != '001RO000000EZaiYAG' AND AccountId != null) AND Score__c <= 0
--= 003RO000000EZaiYAG
--= 003RO000000EZaoYAG
--= 003RO000000EZapYAG
--= 003RO000000EZauYAG
--= 003RO000000EZavYAG
--= (81 rows)
SELECT id FROM salesforce.contact WHERE NOT (account_id = '001RO000000EZaiYAG' AND last_name = 'Smith');
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: ((contact.account_id <> '001RO000000EZaiYAG'::text) OR (contact.last_name <> 'Smith'::text))
-->   Remote Query: SELECT Id, AccountId, LastName FROM Contact
--= 003RO000000EZaiYAG
--= 003RO000000EZajYAG
--= 003RO000000EZakYAG
--= 003RO000000EZalYAG
--= 003RO000000EZamYAG
--= (299 rows)
SELECT id FROM salesforce.contact WHERE (account_id = '001RO000000EZaiYAG' AND do_not_call) OR (score__c > 0 AND last_name = 'Smith');
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (((contact.account_id = '001RO000000EZaiYAG'::text) AND contact.do_not_call) OR ((contact.score__c > '0'::numeric) AND (contact.last_name = 'Smith'::text)))
-->   Remote Query: SELECT Id, AccountId, LastName, DoNotCall, Score__c FROM Contact WHERE (AccountId = '001RO000000EZaiYAG' AND DoNotCall = TRUE) OR (Score__c > 0 AND LastName = 'Smith')
--= 003RO000000EZb5YAG
--= 003RO000000EZbIYAW
--= 003RO000000EZcUYAW
--= 003RO000000EZcYYAW
--= 003RO000000EZcqYAG
--= (8 rows)
SELECT id FROM salesforce.contact WHERE (account_id, score__c) = ('001RO000000EZaiYAG', 0);
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZaiYAG' AND Score__c = 0
--= 003RO000000EZcFYAW
--= (1 row)
SELECT id FROM salesforce.contact WHERE account_id = reports_to_id;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (contact.account_id = contact.reports_to_id)
-->   Remote Query: SELECT Id, AccountId, ReportsToId FROM Contact
--= (0 rows)
