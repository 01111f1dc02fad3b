-- Ids and references: exactly, in their one spelling.
SELECT id, name FROM salesforce.account WHERE id = '001RO000000EZaiYAG';
--> Foreign Scan on salesforce.account
-->   Output: id, name
-->   Remote Query: SELECT Id, Name FROM Account WHERE Id = '001RO000000EZaiYAG'
--= 001RO000000EZaiYAG | Tyrell  Ltd
--= (1 row)
SELECT id, name FROM salesforce.account WHERE id = '001RO000000EZai';
--> Foreign Scan on salesforce.account
-->   Output: id, name
-->   Remote Query: nothing: no record can match
--= (0 rows)
SELECT id, name FROM salesforce.account WHERE id = 'nonsense';
--> Foreign Scan on salesforce.account
-->   Output: id, name
-->   Remote Query: nothing: no record can match
--= (0 rows)
SELECT id FROM salesforce.contact WHERE account_id <> '001RO000000EZaiYAG';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE (AccountId != '001RO000000EZaiYAG' AND AccountId != null)
--= 003RO000000EZaiYAG
--= 003RO000000EZajYAG
--= 003RO000000EZakYAG
--= 003RO000000EZalYAG
--= 003RO000000EZaoYAG
--= (254 rows)
SELECT id FROM salesforce.contact WHERE account_id IN ('001RO000000EZaiYAG', '001RO000000EZajYAG', 'nonsense');
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId IN ('001RO000000EZaiYAG','001RO000000EZajYAG')
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZb9YAG
--= 003RO000000EZbIYAW
--= 003RO000000EZbJYAW
--= (34 rows)
SELECT id FROM salesforce.contact WHERE account_id = ANY (ARRAY['001RO000000EZaiYAG', NULL]);
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId IN ('001RO000000EZaiYAG')
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZbZYAW
--= (24 rows)
SELECT id FROM salesforce.contact WHERE account_id NOT IN ('001RO000000EZaiYAG', '001RO000000EZajYAG');
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE (AccountId NOT IN ('001RO000000EZaiYAG','001RO000000EZajYAG') AND AccountId != null)
--= 003RO000000EZaiYAG
--= 003RO000000EZajYAG
--= 003RO000000EZakYAG
--= 003RO000000EZalYAG
--= 003RO000000EZaoYAG
--= (244 rows)
SELECT id FROM salesforce.contact WHERE account_id <> ALL (ARRAY['001RO000000EZaiYAG']);
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE (AccountId NOT IN ('001RO000000EZaiYAG') AND AccountId != null)
--= 003RO000000EZaiYAG
--= 003RO000000EZajYAG
--= 003RO000000EZakYAG
--= 003RO000000EZalYAG
--= 003RO000000EZaoYAG
--= (254 rows)
SELECT id FROM salesforce.contact WHERE account_id IS NOT DISTINCT FROM '001RO000000EZaiYAG';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZbZYAW
--= (24 rows)
SELECT id FROM salesforce.contact WHERE account_id::varchar = '001RO000000EZaiYAG';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZbZYAW
--= (24 rows)
SELECT id FROM salesforce.contact WHERE account_id < '001RO000000EZaiYAG';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (contact.account_id < '001RO000000EZaiYAG'::text)
-->   Remote Query: SELECT Id, AccountId FROM Contact
--= (0 rows)
SELECT id FROM salesforce.contact WHERE account_id LIKE '001RO000000EZai%';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (contact.account_id ~~ '001RO000000EZai%'::text)
-->   Remote Query: SELECT Id, AccountId FROM Contact
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZbZYAW
--= (24 rows)
